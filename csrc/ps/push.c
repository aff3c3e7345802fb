/* What a shard pushes: the subscribed rows that changed since the last push, whole or by their changed cells,
 * whichever is shorter. New values, not differences: they may be repeated, and nothing is rounded. */
#include "shard_table.h"

#include "../base/internal.h"

#include <stdlib.h>
#include <string.h>

/* One push of a table to a process, part by part. */
typedef struct {
  epact_shard *shard;
  const epact_shard_table *table;
  int home;
  const epact_outbox *outbox;
  int64_t *whole;  /* rows of this part to send whole */
  int64_t *partly; /* ... by their changed cells */
  uint32_t *index; /* ... of these, among the subscriptions */
  int64_t wholes, partlies;
  size_t cells, bytes; /* of those cells; of the part */
  uint32_t part;
} push;

epact_section epact_shard_home_applied(epact_shard *shard, int home)
{
  int64_t count = 0;
  for (int s = 0; s < shard->slots; s++) {
    if (shard->home[s] != home) continue;
    shard->home_slot[count] = s;
    shard->home_applied[count++] = shard->slot[s].applied;
  }
  return (epact_section){
    .type = EPACT_I64, .cols = 1, .rows = count, .row = shard->home_slot, .value = shard->home_applied
  };
}

static const void *master_cell(const epact_shard_table *table, uint32_t at, uint32_t col)
{
  static const char zero[8] = { 0 };
  size_t bytes = epact_type_bytes(table->schema.type);
  if (!table->schema.sparse) return (char *)epact_store_values(&table->store, at) + col * bytes;
  uint32_t slot = epact_sparse_row_find(&table->store.cells[at], col);
  return slot == EPACT_NO_INDEX ? zero : (char *)table->store.cells[at].value + slot * bytes;
}

/* The changed cells of the part's rows, in *memory. */
static int gather_cells(const push *p, char **memory, epact_section *out)
{
  const epact_shard_table *table = p->table;
  size_t bytes = epact_type_bytes(table->schema.type), value_bytes = p->cells * bytes,
         col_bytes = p->cells * sizeof(uint32_t), start_bytes = (size_t)(p->partlies + 1) * sizeof(uint32_t);
  *memory = epact_malloc(value_bytes + col_bytes + start_bytes);
  if (!*memory) return EPACT_E_NOMEM;
  char *value = *memory;
  uint32_t *col = (uint32_t *)(value + value_bytes), *start = (uint32_t *)(value + value_bytes + col_bytes), next = 0;
  for (int64_t i = 0; i < p->partlies; i++) {
    const epact_subscribed *row = &table->subscribed->row[p->index[i]];
    uint32_t at = epact_store_find(&table->store, p->partly[i]);
    start[i] = next;
    for (uint32_t k = 0; k < row->cols; k++, next++) {
      col[next] = row->col[k];
      memcpy(value + next * bytes, master_cell(table, at, row->col[k]), bytes);
    }
  }
  start[p->partlies] = next;
  *out = (epact_section){ .table = table->schema.id,
                          .type = table->schema.type,
                          .cols = table->schema.cols,
                          .rows = p->partlies,
                          .row = p->partly,
                          .start = start,
                          .col = col,
                          .value = value };
  return EPACT_OK;
}

static int send_part(push *p, bool last)
{
  epact_shard *shard = p->shard;
  epact_section section[3] = { epact_shard_home_applied(shard, p->home) };
  char *cells = NULL;
  int code =
      epact_shard_table_gather(p->table, p->wholes, p->whole, &shard->gathered, &shard->gathered_bytes, &section[1]);
  if (!code) code = gather_cells(p, &cells, &section[2]);
  if (!code) {
    epact_message message = { .kind = EPACT_M_PUSH,
                              .shard = shard->rank,
                              .slot = (int32_t)section[0].row[0],
                              .table = p->table->schema.id,
                              .request = p->part++,
                              .clock = shard->minimum,
                              .applied = (int64_t)shard->pushed,
                              .cursor = (int64_t)shard->version,
                              .final = last,
                              .sections = 3,
                              .section = section,
                              .text = "",
                              .behind = true }; /* the next one builds upon it */
    p->outbox->emit(p->outbox->context, &message);
  }
  free(cells);
  p->wholes = p->partlies = 0;
  p->cells = p->bytes = 0;
  return code;
}

static size_t whole_bytes(const epact_shard_table *table, uint32_t at)
{
  if (!table->schema.sparse) return table->store.row_bytes;
  return sizeof(uint32_t) + table->store.cells[at].count * (sizeof(uint32_t) + epact_type_bytes(table->schema.type));
}

static void add_row(push *p, uint32_t index)
{
  epact_subscribed *row = &p->table->subscribed->row[index];
  int64_t id = p->table->subscribed->ids.id[index];
  size_t whole = whole_bytes(p->table, epact_store_find(&p->table->store, id)),
         partly = sizeof(uint32_t) + row->cols * (sizeof(uint32_t) + epact_type_bytes(p->table->schema.type));
  p->bytes += sizeof id;
  if (row->whole || whole <= partly) {
    p->whole[p->wholes++] = id;
    p->bytes += whole;
    return;
  }
  p->index[p->partlies] = index;
  p->partly[p->partlies++] = id;
  p->cells += row->cols;
  p->bytes += partly;
}

static int push_to(push *p)
{
  const epact_subscriptions *s = p->table->subscribed;
  int code = EPACT_OK;
  for (uint32_t i = 0; i < s->dirty_count && !code; i++) {
    if (!epact_is_subscribed(s, p->home, s->dirty[i])) continue;
    if (p->bytes >= p->shard->push_bytes) code = send_part(p, false);
    if (!code) add_row(p, s->dirty[i]);
  }
  return code ? code : send_part(p, true);
}

static int push_table(epact_shard *shard, const epact_shard_table *table, const epact_outbox *outbox)
{
  const epact_subscriptions *s = table->subscribed;
  size_t most = (size_t)s->dirty_count + 1;
  push p = { .shard = shard, .table = table, .outbox = outbox };
  p.whole = epact_malloc(most * sizeof *p.whole);
  p.partly = epact_malloc(most * sizeof *p.partly);
  p.index = epact_malloc(most * sizeof *p.index);
  int code = p.whole && p.partly && p.index ? EPACT_OK : EPACT_E_NOMEM;
  for (uint32_t i = 0; i < s->dirty_count && !code; i++) epact_subscribed_sort(&s->row[s->dirty[i]]);
  for (p.home = 0; p.home < shard->homes && !code; p.home++) {
    p.part = 0;
    if (s->held[p.home]) code = push_to(&p);
  }
  free(p.whole);
  free(p.partly);
  free(p.index);
  return code;
}

int epact_shard_push(epact_shard *shard, const epact_outbox *outbox)
{
  int code = EPACT_OK;
  for (int i = 0; i < shard->tables && !code; i++) {
    epact_shard_table *table = shard->table[i];
    if (!table->subscribed) continue;
    code = push_table(shard, table, outbox);
    if (!code) epact_subscriptions_clean(table->subscribed);
  }
  shard->pushed = shard->version;
  return code;
}
