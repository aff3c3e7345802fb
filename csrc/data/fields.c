/* Separators, and the search for a pair that occurs twice. */
#include "fields.h"

#include <stdlib.h>

epact_separator epact_fields_separator(const char *c)
{
  const char *next = epact_skip_blanks(c);
  if (*next == ',') return EPACT_FIELDS_COMMA;
  if (c[0] == ':' && c[1] == ':') return EPACT_FIELDS_COLONS;
  return next > c ? EPACT_FIELDS_BLANK : EPACT_FIELDS_UNKNOWN;
}

const char *epact_fields_separator_name(epact_separator separator)
{
  switch (separator) {
  case EPACT_FIELDS_BLANK:
    return "a blank or tab";
  case EPACT_FIELDS_COMMA:
    return "a comma";
  case EPACT_FIELDS_COLONS:
    return "`::`";
  default:
    return "a comma, tab, blank or `::`";
  }
}

typedef struct {
  uint32_t first, second;
} pair;

static int compare_pairs(const void *left, const void *right)
{
  const pair *a = left, *b = right;
  if (a->first != b->first) return a->first < b->first ? -1 : 1;
  return a->second < b->second ? -1 : a->second > b->second;
}

/* For few pairs of ids far apart: 1 and the pair, 0, or a negative code. */
static int find_by_sorting(const uint32_t *first, const uint32_t *second, int64_t count, pair *twice)
{
  pair *sorted = epact_calloc((size_t)count, sizeof *sorted);
  int found = 0;
  if (!sorted) return EPACT_E_NOMEM;
  for (int64_t k = 0; k < count; k++) sorted[k] = (pair){ first[k], second[k] };
  qsort(sorted, (size_t)count, sizeof *sorted, compare_pairs);
  for (int64_t k = 1; k < count && !found; k++)
    if (!compare_pairs(&sorted[k - 1], &sorted[k])) {
      *twice = sorted[k];
      found = 1;
    }
  free(sorted);
  return found;
}

/* seconds grouped by first: start[f] runs on to the end of group f. */
static void group(const uint32_t *first, const uint32_t *second, int64_t count, int64_t firsts, int64_t *start,
                  uint32_t *grouped)
{
  for (int64_t k = 0; k < count; k++) start[first[k] + 1]++;
  for (int64_t f = 0; f < firsts; f++) start[f + 1] += start[f];
  for (int64_t k = 0; k < count; k++) grouped[start[first[k]]++] = second[k];
}

/* In linear time: group the pairs by their first id, then mark the second ids of each group. */
static int find_by_marking(const uint32_t *first, const uint32_t *second, int64_t count, int64_t firsts,
                           int64_t seconds, pair *twice)
{
  int64_t *start = epact_calloc((size_t)firsts + 1, sizeof *start);
  uint32_t *grouped = epact_calloc((size_t)count, sizeof *grouped);
  uint32_t *mark = epact_calloc((size_t)seconds, sizeof *mark); /* the last first id that had this one, plus 1 */
  int found = start && grouped && mark ? 0 : EPACT_E_NOMEM;
  if (!found) group(first, second, count, firsts, start, grouped);
  for (int64_t f = 0, k = 0; f < firsts && !found; f++)
    for (; k < start[f] && !found; k++) {
      if (mark[grouped[k]] == (uint32_t)f + 1) {
        *twice = (pair){ (uint32_t)f, grouped[k] };
        found = 1;
      }
      mark[grouped[k]] = (uint32_t)f + 1;
    }
  free(start);
  free(grouped);
  free(mark);
  return found;
}

int epact_fields_duplicate(const uint32_t *first, const uint32_t *second, int64_t count, int64_t firsts,
                           int64_t seconds, int64_t *position)
{
  pair twice;
  int found = firsts / 4 + seconds / 4 > count + 1024 ? find_by_sorting(first, second, count, &twice)
                                                      : find_by_marking(first, second, count, firsts, seconds, &twice);
  if (found <= 0) return found;
  int64_t times = 0, k = -1;
  while (times < 2) {
    k++;
    times += first[k] == twice.first && second[k] == twice.second;
  }
  *position = k;
  return 1;
}
