/* The inside of shard.c (answers, requests, tables) and shard_batch.c (batches, cuts, workers that go and come). */
#ifndef EPACT_PS_SHARD_INSIDE_H
#define EPACT_PS_SHARD_INSIDE_H

#include "shard.h"

/** Room for `slots` workers in what the shard knows of their processes. */
int epact_shard_grow_homes(epact_shard *shard, int slots);
/** The last error's sentence travels back; a refusal leaves the state as it was. */
int epact_shard_refuse(epact_shard *shard, const epact_message *asked, int code, const epact_outbox *outbox);
/** Answers the requests that have waited for the minimum clock, and pushes what it lets go. */
int epact_shard_release_parked(epact_shard *shard, const epact_outbox *outbox);
int epact_shard_take_batch(epact_shard *shard, const epact_message *message, const epact_outbox *outbox);
/** The first multiple of `every` after `clock`. */
int64_t epact_shard_cut_after(int64_t clock, int64_t every);

#endif
