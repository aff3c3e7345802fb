/* A refcounted copy of sections, laid out in one block: descriptors, then 8-byte aligned arrays. */
#include "message.h"

#include "../base/internal.h"

#include <stdlib.h>
#include <string.h>

/* crc: NULL, or that of all before, which goes on. */
static const void *append(char **target, const void *source, size_t bytes, uint32_t *crc)
{
  if (!bytes) return NULL;
  void *copy = *target;
  size_t padding = epact_padded(bytes) - bytes;
  if (crc)
    *crc = epact_crc32c_copy(*crc, copy, source, bytes);
  else
    memcpy(copy, source, bytes);
  memset((char *)copy + bytes, 0, padding);
  if (crc) *crc = epact_crc32c(*crc, (char *)copy + bytes, padding);
  *target += bytes + padding;
  return copy;
}

char *epact_section_copy_crc(const epact_section *section, char *target, epact_section *copy, uint32_t *crc)
{
  epact_section_layout layout = epact_section_layout_of(section);
  *copy = *section;
  copy->row = append(&target, section->row, layout.row, crc);
  copy->start = append(&target, section->start, layout.start, crc);
  copy->col = append(&target, section->col, layout.col, crc);
  copy->value = append(&target, section->value, layout.value, crc);
  return target;
}

char *epact_section_copy(const epact_section *section, char *target, epact_section *copy)
{
  return epact_section_copy_crc(section, target, copy, NULL);
}

epact_batch *epact_batch_copy_decoded(const epact_section *section)
{
  if (section->encoding == EPACT_AS_TYPE) return epact_batch_copy(1, section);
  int64_t cells = epact_section_cells(section);
  epact_section decoded = *section;
  void *value = epact_malloc((size_t)cells * epact_type_bytes(section->type));
  if (!value) return NULL;
  epact_decode(section->type, section->encoding, section->value, 0, value, cells);
  decoded.value = value;
  decoded.encoding = EPACT_AS_TYPE;
  epact_batch *batch = epact_batch_copy(1, &decoded);
  free(value);
  return batch;
}

epact_batch *epact_batch_copy(int sections, const epact_section *section)
{
  size_t head = epact_padded(sizeof(epact_batch)) + epact_padded((size_t)sections * sizeof *section), bytes = 0;
  for (int i = 0; i < sections; i++) bytes += epact_section_bytes(&section[i]);
  epact_batch *batch = epact_object_raw(head + bytes);
  if (!batch) return NULL;
  memset(batch, 0, sizeof *batch);
  epact_section *copies = (epact_section *)((char *)batch + epact_padded(sizeof(epact_batch)));
  char *target = (char *)batch + head;
  for (int i = 0; i < sections; i++) target = epact_section_copy(&section[i], target, &copies[i]);
  batch->sections = sections;
  batch->section = copies;
  batch->bytes = bytes;
  return batch;
}
