/* The Gram matrix of members: see lasso_set.h.
 *
 * It grows by the members that are new. Dense columns are packed some rows at a time, centred and scaled.
 * Sparse ones are joined row by row: each row keeps the list of its entries that belong to known members, so that one
 * more member costs, for each of its entries, the length of that row's list. */
#include "lasso_gram.h"

#include "../base/internal.h"
#include "block_product.h"
#include "lasso_state.h"

#include <stdlib.h>
#include <string.h>

/* Rows that are packed at once; members of which all covariances may be kept: 128 MiB; entries whose rows are fetched
 * before they are needed. */
enum { PACKED_ROWS = 256, MOST_KNOWN = 4096, AHEAD = 8 };

static int make_room(gram_matrix *gram, int64_t known)
{
  if (known <= gram->room) return EPACT_OK;
  int64_t room = 2 * gram->room > known ? 2 * gram->room : known;
  room = (room + 7) / 8 * 8;
  double *value = epact_aligned_calloc((size_t)(room * room) * sizeof *value);
  if (!value || epact_grow(&gram->member, (size_t)room, sizeof *gram->member)) {
    free(value);
    return EPACT_E_NOMEM;
  }
  for (int64_t a = 0; a < gram->known; a++)
    memcpy(value + a * room, gram->value + a * gram->room, (size_t)gram->known * sizeof *value);
  free(gram->value);
  gram->value = value;
  gram->room = room;
  return EPACT_OK;
}

/* The rows first .. first + rows - 1 of the known members as the model sees them, member by member. */
static void pack(const epact_lasso_set *set, int64_t first, int64_t rows)
{
  const gram_matrix *gram = &set->gram;
  for (int64_t a = 0; a < gram->known; a++) {
    const int64_t j = set->column[gram->member[a]];
    const double *value = set->x.value + j * set->x.rows + first, mean = mean_of(&set->x, j),
                 scale = scale_of(&set->x, j);
    double *target = gram->packed + a * PACKED_ROWS;
    for (int64_t i = 0; i < rows; i++) target[i] = scale * (value[i] - mean);
  }
}

static int extend_dense(epact_lasso_set *set, int64_t before)
{
  gram_matrix *gram = &set->gram;
  const int64_t n = set->x.rows, added = gram->known - before;
  if (gram->packed_room < gram->room) {
    free(gram->packed);
    gram->packed = epact_aligned_calloc((size_t)(gram->room * PACKED_ROWS) * sizeof *gram->packed);
    gram->packed_room = gram->packed ? gram->room : 0;
    if (!gram->packed) return EPACT_E_NOMEM;
  }
  for (int64_t a = before; a < gram->known; a++)
    memset(gram->value + a * gram->room, 0, (size_t)gram->known * sizeof *gram->value);
  for (int64_t first = 0; first < n; first += PACKED_ROWS) {
    const int64_t rows = n - first < PACKED_ROWS ? n - first : PACKED_ROWS;
    const row_block all = { gram->packed, gram->known, PACKED_ROWS };
    const row_block new = { gram->packed + before * PACKED_ROWS, added, PACKED_ROWS };
    pack(set, first, rows);
    block_product(new, all, rows, 1, before, gram->value + before * gram->room, gram->room);
  }
  return EPACT_OK;
}

/* One more entry in the list of row i. A list that is full moves to the end, twice as long. */
static int append(gram_matrix *gram, int64_t i, row_entry new)
{
  row_list *list = gram->row + i;
  if (list->count == list->room) {
    const uint32_t room = list->room ? 2 * list->room : 4;
    if (gram->entries + room > gram->entry_room) {
      const int64_t wanted = 2 * gram->entry_room + room + 1024;
      if (epact_grow(&gram->entry, (size_t)wanted, sizeof new)) return EPACT_E_NOMEM;
      gram->entry_room = wanted;
    }
    if (list->count > 0) memcpy(gram->entry + gram->entries, gram->entry + list->first, list->count * sizeof new);
    list->first = gram->entries;
    list->room = room;
    gram->entries += room;
  }
  gram->entry[list->first + list->count++] = new;
  return EPACT_OK;
}

static int extend_sparse(epact_lasso_set *set, int64_t before)
{
  const epact_columns *x = &set->x;
  gram_matrix *gram = &set->gram;
  if (!gram->row && !(gram->row = epact_calloc((size_t)x->rows, sizeof *gram->row))) return EPACT_E_NOMEM;
  for (int64_t a = before; a < gram->known; a++) {
    const int64_t j = set->column[gram->member[a]], end = x->start[j + 1];
    const double scale = scale_of(x, j), constant = (double)x->rows * scale * mean_of(x, j);
    double *products = gram->value + a * gram->room;
    memset(products, 0, (size_t)(a + 1) * sizeof *products);
    for (int64_t e = x->start[j]; e < end; e++) {
      const double value = scale * x->value[e];
      if (e + 2 * AHEAD < end) __builtin_prefetch(gram->row + x->index[e + 2 * AHEAD], 1);
      if (e + AHEAD < end) __builtin_prefetch(gram->entry + gram->row[x->index[e + AHEAD]].first, 1);
      if (append(gram, x->index[e], (row_entry){ value, (uint32_t)a })) return EPACT_E_NOMEM;
      const row_list list = gram->row[x->index[e]];
      const row_entry *entry = gram->entry + list.first;
      for (uint32_t k = 0; k < list.count; k++) products[entry[k].at] += value * entry[k].value;
    }
    for (int64_t b = 0; constant != 0 && b <= a; b++) {
      const int64_t other = set->column[gram->member[b]];
      products[b] -= constant * scale_of(x, other) * mean_of(x, other);
    }
  }
  return EPACT_OK;
}

int lasso_gram_extend(epact_lasso_set *set, const uint32_t *list, int64_t count)
{
  gram_matrix *gram = &set->gram;
  const int64_t before = gram->known;
  int64_t added = 0;
  for (int64_t i = 0; i < count; i++) added += set->known_at[list[i]] == NOWHERE;
  if (added == 0) return EPACT_OK;
  if (make_room(gram, before + added)) return EPACT_E_NOMEM;
  for (int64_t i = 0; i < count; i++) {
    if (set->known_at[list[i]] != NOWHERE) continue;
    set->known_at[list[i]] = (int32_t)gram->known;
    gram->member[gram->known++] = list[i];
  }
  const int code = set->x.start ? extend_sparse(set, before) : extend_dense(set, before);
  if (code) return code;
  for (int64_t a = before; a < gram->known; a++)
    for (int64_t b = 0; b < a; b++) gram->value[b * gram->room + a] = gram->value[a * gram->room + b];
  return EPACT_OK;
}

bool lasso_gram_has_room(double known)
{
  return known <= MOST_KNOWN;
}

/* Sweeps by covariances read and write a line of the matrix for a coefficient that moves, those by the residual all its
 * entries twice; to make the matrix must not take longer than some dozens of sweeps. */
static bool pays(const epact_lasso_set *set)
{
  const double count = (double)set->count, entries = (double)set->entries;
  if (set->count > MOST_KNOWN) return false;
  if (set->x.start) return count * count <= 32 * entries;
  return set->count <= 3 * set->x.rows && set->count <= 600;
}

int epact_lasso_set_prepare(epact_lasso_set *set)
{
  const bool in_order = set->gram.known == 0 || set->by_covariance;
  set->by_covariance = in_order && pays(set);
  if (!set->by_covariance) return EPACT_OK;
  for (int64_t at = 0; at < set->count; at++) set->support[at] = (uint32_t)at;
  return lasso_gram_extend(set, set->support, set->count);
}
