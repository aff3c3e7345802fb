/* A batch cut into parts of equal work. */
#ifndef EPACT_SCHED_BALANCE_H
#define EPACT_SCHED_BALANCE_H

#include "../base/base.h"

/* Deals items to parts, the largest first, each to the part with the least load (LPT): no load is then above the mean
 * by more than the largest item, nor above 4/3 of the best there is. Where the largest load is above `bound` times the
 * mean it is brought down, by exchanging items between parts and with items beyond those wanted, and last by holding
 * some back. What is not dealt is offered first to the next batch,
 * and what has waited longest goes with it. One thread at a time. */
typedef struct epact_balance epact_balance;

/** EPACT_E_MISUSE, EPACT_E_NOMEM. Released by epact_release. */
EPACT_API int epact_balance_new(int64_t parts, double bound, epact_balance **balance);

/** Adds `count` items and their work (finite and not negative: EPACT_E_MISUSE names the one that is not, and none is
 * added). One that is there already is passed over. Returns how many there are now. EPACT_E_NOMEM. */
EPACT_API int64_t epact_balance_offer(epact_balance *balance, int64_t count, const uint32_t *item, const double *work);

/* How a batch was dealt. */
typedef struct {
  int64_t items;        /* in the batch */
  double mean, largest; /* of the loads */
  double item;          /* the largest one's work */
} epact_balance_loads;

/** Deals at most `wanted` of the items, those that were offered first if it can be. May be called again after more were
 * offered. */
EPACT_API void epact_balance_deal(epact_balance *balance, int64_t wanted, epact_balance_loads *loads);

/** Ends the batch: writes its items in the order of the offers, and the part of each. Those that were not dealt stay.
 * Returns their number. */
EPACT_API int64_t epact_balance_end(epact_balance *balance, uint32_t *item, uint32_t *part);

/** The items that stay, and their number. */
EPACT_API const uint32_t *epact_balance_held(const epact_balance *balance, int64_t *count);

#endif
