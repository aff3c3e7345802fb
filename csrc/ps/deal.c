/* A worker's increments dealt to the shards that own their rows. */
#include "client.h"

#include <string.h>

size_t epact_deal_bytes(const epact_section *section, int shards)
{
  return epact_section_bytes(section) + (size_t)shards * (4 * 8 + sizeof(uint32_t));
}

static void *carve(char **at, size_t bytes)
{
  void *array = *at;
  *at += epact_padded(bytes);
  return array;
}

void epact_deal(const epact_section *section, const epact_schema *schema, int shards, char **arena, epact_section *out,
                int stride)
{
  size_t bytes = epact_encoded_bytes(section->type, section->encoding);
  for (int s = 0; s < shards; s++) {
    int64_t rows = 0, cells = 0;
    for (int64_t i = 0; i < section->rows; i++) {
      if (epact_row_shard(schema, section->row[i], shards) != s) continue;
      rows++;
      cells += section->start ? (int64_t)(section->start[i + 1] - section->start[i]) : section->cols;
    }
    int64_t *row = carve(arena, (size_t)rows * sizeof *row);
    uint32_t *start = section->start ? carve(arena, (size_t)(rows + 1) * sizeof *start) : NULL;
    uint32_t *col = section->start ? carve(arena, (size_t)cells * sizeof *col) : NULL;
    char *value = carve(arena, (size_t)cells * bytes);
    int64_t r = 0, k = 0;
    for (int64_t i = 0; i < section->rows; i++) {
      if (epact_row_shard(schema, section->row[i], shards) != s) continue;
      int64_t from = section->start ? (int64_t)section->start[i] : i * section->cols;
      int64_t n = section->start ? (int64_t)(section->start[i + 1] - section->start[i]) : section->cols;
      if (start) {
        start[r] = (uint32_t)k;
        if (n) memcpy(col + k, section->col + from, (size_t)n * sizeof *col);
      }
      row[r++] = section->row[i]; // NOLINT: carved from an arena that has room
      if (n) memcpy(value + (size_t)k * bytes, (const char *)section->value + (size_t)from * bytes, (size_t)n * bytes);
      k += n;
    }
    if (start) start[r] = (uint32_t)k;
    out[(size_t)s * (size_t)stride] = (epact_section){
      section->table, section->type, section->cols, rows, row, start, col, value, section->encoding
    };
  }
}
