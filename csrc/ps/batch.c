/* A refcounted copy of sections, laid out in one block: descriptors, then 8-byte aligned arrays. */
#include "message.h"

#include "../base/internal.h"

#include <stdlib.h>
#include <string.h>

static const void *append(char **target, const void *source, size_t bytes)
{
  if (!bytes) return NULL;
  void *copy = *target;
  size_t padding = epact_padded(bytes) - bytes;
  memcpy(copy, source, bytes);
  memset((char *)copy + bytes, 0, padding);
  *target += bytes + padding;
  return copy;
}

char *epact_section_copy(const epact_section *section, char *target, epact_section *copy)
{
  epact_section_layout layout = epact_section_layout_of(section);
  *copy = *section;
  copy->row = append(&target, section->row, layout.row);
  copy->start = append(&target, section->start, layout.start);
  copy->col = append(&target, section->col, layout.col);
  copy->value = append(&target, section->value, layout.value);
  return target;
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
  epact_batch *batch = epact_object_new(head + bytes, NULL);
  if (!batch) return NULL;
  epact_section *copies = (epact_section *)((char *)batch + epact_padded(sizeof(epact_batch)));
  char *target = (char *)batch + head;
  for (int i = 0; i < sections; i++) target = epact_section_copy(&section[i], target, &copies[i]);
  batch->sections = sections;
  batch->section = copies;
  batch->bytes = bytes;
  return batch;
}
