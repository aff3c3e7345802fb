/* What is turned away at the door: every refusal is counted by its reason, and the first few of a second are
 * said on stderr. Who sends garbage must not be able to fill a disk with complaints. */
#include "net.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define LINES 4 /* per WINDOW seconds */
#define WINDOW 1.0

static const char *const name[EPACT_REFUSALS] = {
  [EPACT_REFUSED_MALFORMED] = "malformed",
  [EPACT_REFUSED_VERSION] = "version",
  [EPACT_REFUSED_JOB] = "job",
  [EPACT_REFUSED_CORRUPT] = "corrupt",
  [EPACT_REFUSED_SIZE] = "size",
  [EPACT_REFUSED_SENDER] = "sender",
  [EPACT_REFUSED_KEY] = "key",
  [EPACT_REFUSED_HANDSHAKE] = "handshake",
};

const char *epact_refusal_name(int reason)
{
  return reason >= 0 && reason < EPACT_REFUSALS ? name[reason] : "unknown";
}

void epact_refusals_init(epact_refusal_book *book, int rank)
{
  *book = (epact_refusal_book){ .rank = rank, .window = epact_now() };
  pthread_mutex_init(&book->lock, NULL);
}

/* Both under the lock. */
static void say_rest(epact_refusal_book *book)
{
  if (book->hidden) {
    fprintf(stderr, "epact: rank %d refused %" PRIu64 " more frames or connections in %.1f s\n", book->rank,
            book->hidden, epact_now() - book->window);
  }
  book->unprinted += book->hidden;
  book->hidden = 0;
  book->lines = 0;
  book->window = epact_now();
}

void epact_refuse(epact_refusal_book *book, int reason, const char *format, ...)
{
  pthread_mutex_lock(&book->lock);
  book->count[reason]++;
  if (format && epact_now() - book->window > WINDOW) say_rest(book);
  if (format && book->lines < LINES) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *c = text; *c; c++) { /* what a stranger sent must not steer a terminal */
      if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
    }
    fprintf(stderr, "epact: rank %d refused %s\n", book->rank, text);
    book->lines++;
  } else if (format) {
    book->hidden++;
  }
  pthread_mutex_unlock(&book->lock);
}

void epact_refusals_tick(epact_refusal_book *book, bool last)
{
  pthread_mutex_lock(&book->lock);
  if (book->hidden && (last || epact_now() - book->window > WINDOW)) say_rest(book);
  pthread_mutex_unlock(&book->lock);
}

uint64_t epact_refusals_of(epact_refusal_book *book, int reason)
{
  pthread_mutex_lock(&book->lock);
  uint64_t count = book->count[reason];
  pthread_mutex_unlock(&book->lock);
  return count;
}

void epact_process_refusals(epact_process *process, epact_refusals *refusals)
{
  *refusals = (epact_refusals){ 0 };
  if (!process->net) return;
  epact_refusal_book *book = &process->net->refusals;
  pthread_mutex_lock(&book->lock);
  for (int i = 0; i < EPACT_REFUSALS; i++) refusals->count[i] = (double)book->count[i];
  refusals->unprinted = (double)(book->unprinted + book->hidden);
  pthread_mutex_unlock(&book->lock);
  pthread_rwlock_rdlock(&process->shard_lock);
  refusals->repeated = (double)process->shard.duplicates;
  pthread_rwlock_unlock(&process->shard_lock);
}
