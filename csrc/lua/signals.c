/* SIGINT and SIGTERM as events. The flag is process-wide because signals are. */
#include "pool.h"

#include "../base/internal.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t noted;
static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;
static int watchers;
static struct sigaction before_int, before_term;

static void note(int number)
{
  noted = number;
}

void epact_signals_watch(int on)
{
  pthread_mutex_lock(&watch_lock);
  if (on && watchers++ == 0) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    sigemptyset(&action.sa_mask);
    noted = 0;
    sigaction(SIGINT, &action, &before_int);
    sigaction(SIGTERM, &action, &before_term);
  } else if (!on && watchers > 0 && --watchers == 0) {
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
  }
  pthread_mutex_unlock(&watch_lock);
}

int epact_signals_pending(void)
{
  if (!noted) return EPACT_OK;
  int number = noted;
  noted = 0;
  return epact_fail(EPACT_E_INTERRUPTED, "%s", number == SIGTERM ? "terminated" : "interrupted");
}
