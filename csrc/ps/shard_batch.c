/* Batches into a shard: checked whole, staged or applied, acknowledged; cuts; workers that go and come. */
#include "shard_inside.h"

#include "../base/internal.h"
#include "shard_table.h"

#include <inttypes.h>
#include <string.h>

/* ---- batches ---- */

int64_t epact_shard_cut_after(int64_t clock, int64_t every)
{
  return every > 0 && clock < EPACT_FOREVER - every ? (clock / every + 1) * every : EPACT_FOREVER;
}

static int check_batch(epact_shard *shard, const epact_message *batch)
{
  shard->serial++;
  for (int i = 0; i < batch->sections; i++) {
    const epact_section *section = &batch->section[i];
    epact_shard_table *table = epact_shard_find_table(shard, section->table);
    if (!table) {
      return epact_fail(EPACT_E_SCHEMA, "shard %d has no table with id %08" PRIx32, shard->rank, section->table);
    }
    if (table->seen == shard->serial) {
      return epact_fail(EPACT_E_PROTO, "table '%s' is twice in one batch", table->name);
    }
    table->seen = shard->serial;
    int code = epact_shard_table_check(table, section, batch->finite);
    if (code) return code;
  }
  return EPACT_OK;
}

/* All that can fail comes first; then every table is changed. */
static int apply_batch(epact_shard *shard, int slot, int64_t clock, bool final, int sections,
                       const epact_section *section)
{
  int code = EPACT_OK;
  for (int i = 0; i < sections && !code; i++) {
    code = epact_shard_table_prepare(epact_shard_find_table(shard, section[i].table), &section[i]);
  }
  if (code) {
    for (int i = 0; i < sections; i++) epact_shard_table_forget(epact_shard_find_table(shard, section[i].table));
    return code;
  }
  if (shard->keep) {
    epact_message batch = { .kind = EPACT_M_BATCH,
                            .shard = shard->rank,
                            .slot = slot,
                            .clock = clock,
                            .final = final,
                            .sections = sections,
                            .section = section,
                            .text = "" };
    shard->keep(shard->keeper, &batch);
  }
  shard->version++;
  for (int i = 0; i < sections; i++) {
    epact_shard_table *table = epact_shard_find_table(shard, section[i].table);
    epact_shard_table_apply(table, &section[i], slot, clock, shard->version);
  }
  return EPACT_OK;
}

static void advance(epact_shard *shard, epact_slot *slot, int64_t clock, bool final)
{
  slot->applied = final ? EPACT_FOREVER : clock;
  int home = shard->home[slot - shard->slot];
  if (final && --shard->home_workers[home] == 0) epact_shard_forget_home(shard, home);
  for (int i = 0; i < shard->tables && final; i++) { /* it reads no more changes */
    epact_shard_feed_consumed(shard->table[i], shard->slots, (int)(slot - shard->slot), EPACT_FOREVER);
  }
  int64_t least = EPACT_FOREVER;
  for (int i = 0; i < shard->slots; i++) {
    if (shard->slot[i].applied < least) least = shard->slot[i].applied;
  }
  shard->minimum = least == EPACT_FOREVER ? least : least + 1;
}

static int stage(epact_slot *slot, const epact_message *message)
{
  int at = slot->staged_count;
  while (at > 0 && slot->staged[at - 1].clock > message->clock) at--;
  if (at > 0 && slot->staged[at - 1].clock == message->clock) return EPACT_OK; /* staged already */
  if (slot->staged_count == slot->staged_capacity) {
    int32_t capacity = slot->staged_capacity ? slot->staged_capacity * 2 : 4;
    int code = epact_grow(&slot->staged, (size_t)capacity, sizeof *slot->staged);
    if (code) return code;
    slot->staged_capacity = capacity;
  }
  epact_batch *batch = epact_batch_copy(message->sections, message->section);
  if (!batch) return EPACT_E_NOMEM;
  memmove(slot->staged + at + 1, slot->staged + at, (size_t)(slot->staged_count - at) * sizeof *slot->staged);
  slot->staged[at] = (epact_staged){ message->clock, message->final, batch };
  slot->staged_count++;
  return EPACT_OK;
}

static int apply_first_staged(epact_shard *shard, int s)
{
  epact_slot *slot = &shard->slot[s];
  epact_staged first = slot->staged[0];
  int code = apply_batch(shard, s, first.clock, first.final, first.batch->sections, first.batch->section);
  if (code) return code;
  memmove(slot->staged, slot->staged + 1, (size_t)(slot->staged_count - 1) * sizeof *slot->staged);
  slot->staged_count--;
  advance(shard, slot, first.clock, first.final);
  epact_release(first.batch);
  return EPACT_OK;
}

static bool next_may_be_applied(const epact_shard *shard, const epact_slot *slot)
{
  return slot->staged_count && slot->staged[0].clock - 1 == slot->applied && slot->staged[0].clock < shard->cut;
}

/* Deterministic: a clock is applied when every slot's batch for it is here. */
static int apply_whole_clocks(epact_shard *shard)
{
  for (;;) {
    bool any = false;
    for (int s = 0; s < shard->slots; s++) {
      if (shard->slot[s].applied == EPACT_FOREVER) continue;
      if (!next_may_be_applied(shard, &shard->slot[s])) return EPACT_OK;
      any = true;
    }
    if (!any) return EPACT_OK;
    for (int s = 0; s < shard->slots; s++) {
      if (shard->slot[s].applied == EPACT_FOREVER) continue;
      int code = apply_first_staged(shard, s);
      if (code) return code;
    }
  }
}

static int apply_staged(epact_shard *shard, int s)
{
  int code = EPACT_OK;
  if (shard->deterministic) return apply_whole_clocks(shard);
  while (!code && next_may_be_applied(shard, &shard->slot[s])) code = apply_first_staged(shard, s);
  return code;
}

static void count_received(epact_slot *slot)
{
  for (int k = 0; k < slot->staged_count; k++) {
    if (slot->staged[k].clock == slot->received + 1) {
      slot->received++;
      slot->finishing = slot->finishing || slot->staged[k].final;
    }
  }
}

static void acknowledge(epact_shard *shard, int s, const epact_outbox *outbox)
{
  epact_slot *slot = &shard->slot[s];
  epact_message ack = { .kind = EPACT_M_ACK,
                        .shard = shard->rank,
                        .slot = s,
                        .incarnation = slot->incarnation,
                        .clock = slot->applied,
                        .text = "" };
  slot->told = slot->applied;
  outbox->emit(outbox->context, &ack);
}

/* To those whose staged batches have been applied by what another slot, or a cut, let go on. */
static void acknowledge_others(epact_shard *shard, const epact_outbox *outbox)
{
  for (int s = 0; s < shard->slots; s++) {
    if (shard->slot[s].applied > shard->slot[s].told) acknowledge(shard, s, outbox);
  }
}

int epact_shard_pass_cut(epact_shard *shard, const epact_outbox *outbox)
{
  int code = EPACT_OK;
  shard->cut = epact_shard_cut_after(shard->cut, shard->cut_every);
  for (int s = 0; s < shard->slots && !code; s++) code = apply_staged(shard, s);
  if (code) return code;
  acknowledge_others(shard, outbox);
  return epact_shard_release_parked(shard, outbox);
}

static int accept_batch(epact_shard *shard, const epact_message *message)
{
  epact_slot *slot = &shard->slot[message->slot];
  int code;
  bool next = message->clock == slot->applied + 1 && message->clock < shard->cut;
  if (shard->deterministic || !next) {
    if ((code = stage(slot, message))) return code;
    count_received(slot);
  } else {
    code = apply_batch(shard, message->slot, message->clock, message->final, message->sections, message->section);
    if (code) return code;
    slot->received = message->clock;
    slot->finishing = message->final;
    advance(shard, slot, message->clock, message->final);
    count_received(slot);
  }
  return apply_staged(shard, message->slot);
}

int epact_shard_take_batch(epact_shard *shard, const epact_message *message, const epact_outbox *outbox)
{
  epact_slot *slot = &shard->slot[message->slot];
  int64_t minimum = shard->minimum;
  if (message->clock <= slot->received || slot->finishing)
    shard->duplicates++;
  else if (message->clock > slot->received + EPACT_STAGING_WINDOW) {
    int code = epact_fail(EPACT_E_CLOCK, "worker %d sent clock %" PRId64 ", the shard expects %" PRId64, message->slot,
                          message->clock, slot->received + 1);
    return epact_shard_refuse(shard, message, code, outbox);
  } else {
    int code = check_batch(shard, message);
    if (code) return epact_shard_refuse(shard, message, code, outbox);
    if ((code = accept_batch(shard, message))) return code;
  }
  acknowledge(shard, message->slot, outbox);
  if (shard->deterministic) acknowledge_others(shard, outbox);
  return shard->minimum > minimum ? epact_shard_release_parked(shard, outbox) : EPACT_OK;
}

/* ---- workers that go and come ---- */

static void drop_parked(epact_shard *shard, int slot)
{
  int kept = 0;
  for (int i = 0; i < shard->parked_count; i++) {
    if (shard->parked[i].message.slot == slot)
      epact_release(shard->parked[i].ids);
    else
      shard->parked[kept++] = shard->parked[i];
  }
  shard->parked_count = kept;
}

int epact_shard_evict(epact_shard *shard, int s, const epact_outbox *outbox)
{
  epact_slot *slot = &shard->slot[s];
  int64_t minimum = shard->minimum;
  slot->incarnation++;
  drop_parked(shard, s);
  if (slot->finishing || slot->applied == EPACT_FOREVER) return EPACT_OK;
  while (slot->staged_count && slot->staged[slot->staged_count - 1].clock > slot->received) {
    epact_release(slot->staged[--slot->staged_count].batch); /* one before it is missing, and will never come */
  }
  epact_message last = { .kind = EPACT_M_BATCH, .slot = s, .clock = slot->received + 1, .final = true, .text = "" };
  int code = accept_batch(shard, &last);
  if (code) return code;
  acknowledge_others(shard, outbox);
  return shard->minimum > minimum ? epact_shard_release_parked(shard, outbox) : EPACT_OK;
}

int epact_shard_admit(epact_shard *shard, int first, int count)
{
  int64_t clock = shard->minimum;
  if (first + count <= shard->slots) return EPACT_OK; /* told again */
  if (clock == EPACT_FOREVER) return epact_fail(EPACT_E_STOPPED, "all workers have finished");
  if (first != shard->slots) return epact_fail(EPACT_E_PROTO, "worker %d comes where %d is next", first, shard->slots);
  int slots = first + count, code = epact_grow(&shard->slot, (size_t)slots, sizeof *shard->slot);
  if (!code) code = epact_shard_grow_homes(shard, slots);
  for (int i = 0; i < shard->tables && !code; i++) {
    code = epact_shard_table_admit(shard->table[i], first, slots, shard->homes + 1);
  }
  if (code) return code;
  for (int s = first; s < slots; s++) {
    shard->slot[s] = (epact_slot){ .applied = clock - 1, .received = clock - 1, .told = clock - 1 };
    shard->home[s] = shard->homes;
  }
  shard->home_workers[shard->homes++] = count;
  shard->slots = slots;
  return EPACT_OK;
}
