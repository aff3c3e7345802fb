/* One table of a shard; used by shard.c alone, but for the feed. */
#ifndef EPACT_PS_SHARD_TABLE_H
#define EPACT_PS_SHARD_TABLE_H

#include "shard.h"

#include <stdio.h>

epact_shard_table *epact_shard_table_new(const char *name, const epact_schema *schema, int slots, int homes,
                                         bool whole);
void epact_shard_table_free(epact_shard_table *table);

/* A section is applied in three steps, so that a batch is taken whole or not at all: check refuses
 * what is wrong (shape, ranges, finite), prepare allocates, apply cannot fail. */
int epact_shard_table_check(const epact_shard_table *table, const epact_section *section, bool finite);
int epact_shard_table_prepare(epact_shard_table *table, const epact_section *section);
void epact_shard_table_apply(epact_shard_table *table, const epact_section *section, int slot, int64_t clock,
                             uint64_t version);
/** Slots first .. slots - 1 are new; they read no changes. */
int epact_shard_table_admit(epact_shard_table *table, int first, int slots, int homes);
/** Undoes prepare, for a batch that is not applied after all. */
void epact_shard_table_forget(epact_shard_table *table);

/** Makes the rows of a section (checked here) what it says, bit for bit; for tables nobody reads yet. */
int epact_shard_table_put(epact_shard_table *table, const epact_section *section);
/** The contents of n rows (ids already checked) as a section in *buffer, which grows. */
int epact_shard_table_gather(const epact_shard_table *table, int64_t n, const int64_t *row, char **buffer,
                             size_t *capacity, epact_section *out);

#endif
