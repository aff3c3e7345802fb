/* Threads with a Lua state each. A state is made, used and closed by its own thread. */
#include "pool.h"

#include "../base/fault.h"
#include "../base/internal.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLICE_SECONDS 0.1 /* a wait looks for signals this often */
#define MAX_THREADS 4096

typedef enum { STARTING, IDLE, GIVEN, RUNNING, DONE, TAKEN, ENDED } thread_state;

typedef struct {
  epact_pool *pool;
  pthread_t thread;
  bool started;
  thread_state state; /* under the pool's lock */
  char *task;
  size_t task_bytes;
  char *outcome;
  size_t outcome_bytes;
  bool failed;
} pool_thread;

struct epact_pool {
  pthread_mutex_t lock;
  pthread_cond_t changed; /* any thread's state, or `closing` */
  int threads, next;      /* next: where to look for an outcome first */
  bool closing;
  char *path, *cpath;
  pool_thread *thread;
};

static void set_package_path(lua_State *L, const char *field, const char *value)
{
  lua_getglobal(L, "package");
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
  lua_pop(L, 1);
}

/* Leaves the function `run` of module epact.thread on the stack. */
static int open_state(lua_State *L)
{
  pool_thread *self = lua_touserdata(L, 1);
  luaL_openlibs(L);
  set_package_path(L, "path", self->pool->path);
  set_package_path(L, "cpath", self->pool->cpath);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "epact.thread");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "run");
  return 1;
}

static void keep_outcome(pool_thread *self, const char *data, size_t bytes, bool failed)
{
  char *copy = epact_malloc(bytes + 1);
  free(self->outcome);
  self->failed = failed || !copy;
  self->outcome = copy;
  self->outcome_bytes = copy ? bytes : 0;
  if (copy) memcpy(copy, data, bytes);
  if (copy) copy[bytes] = 0;
}

/* run(task) -> ok, string; it catches errors itself, so that tracebacks are the task's own. */
static void run_task(lua_State *L, pool_thread *self)
{
  size_t bytes = 0;
  lua_pushvalue(L, 1);
  lua_pushlstring(L, self->task, self->task_bytes);
  bool ran = lua_pcall(L, 1, 2, 0) == 0;
  const char *data = lua_tolstring(L, -1, &bytes);
  bool failed = !ran || !lua_toboolean(L, -2);
  keep_outcome(self, data ? data : "an error that is no string", data ? bytes : 26, failed);
  lua_settop(L, 1);
}

static void change_state(pool_thread *self, thread_state state)
{
  pthread_mutex_lock(&self->pool->lock);
  self->state = state;
  pthread_cond_broadcast(&self->pool->changed);
  pthread_mutex_unlock(&self->pool->lock);
}

/* Waits for a task; false when the pool closes. */
static bool next_task(pool_thread *self)
{
  epact_pool *pool = self->pool;
  pthread_mutex_lock(&pool->lock);
  while (self->state != GIVEN && !pool->closing) pthread_cond_wait(&pool->changed, &pool->lock);
  bool given = self->state == GIVEN;
  if (given) self->state = RUNNING;
  pthread_mutex_unlock(&pool->lock);
  return given;
}

static void *thread_main(void *argument)
{
  pool_thread *self = argument;
  lua_State *L = luaL_newstate();
  bool ready = false;
  if (L) {
    lua_pushcfunction(L, open_state);
    lua_pushlightuserdata(L, self);
    ready = lua_pcall(L, 1, 1, 0) == 0;
  }
  if (!ready) {
    const char *message = L ? lua_tostring(L, -1) : "cannot make a Lua state: out of memory";
    keep_outcome(self, message ? message : "?", message ? strlen(message) : 1, true);
  }
  change_state(self, ready ? IDLE : ENDED);
  while (ready && next_task(self)) {
    run_task(L, self);
    change_state(self, DONE);
  }
  if (L) lua_close(L);
  change_state(self, ENDED);
  return NULL;
}

/* Signals go to the threads that were there before. */
static int start_thread(pool_thread *self)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = epact_thread_create(&self->thread, thread_main, self);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) return epact_fail(EPACT_E_SYSTEM, "cannot start a worker thread: %s", strerror(error));
  self->started = true;
  return EPACT_OK;
}

static void wait_a_slice(epact_pool *pool, double seconds)
{
  double slice = seconds < SLICE_SECONDS ? (seconds > 0 ? seconds : 0) : SLICE_SECONDS;
  struct timespec deadline = epact_deadline_after(slice);
  pthread_cond_timedwait(&pool->changed, &pool->lock, &deadline);
}

static int all_ready(epact_pool *pool)
{
  int code = EPACT_OK;
  pthread_mutex_lock(&pool->lock);
  for (int i = 0; i < pool->threads; i++) {
    while (pool->thread[i].state == STARTING) pthread_cond_wait(&pool->changed, &pool->lock);
    if (pool->thread[i].state == ENDED && !code) {
      code = epact_fail(EPACT_E_SYSTEM, "a worker's Lua state: %s", pool->thread[i].outcome);
    }
  }
  pthread_mutex_unlock(&pool->lock);
  return code;
}

epact_pool *epact_pool_open(int workers, const char *path, const char *cpath)
{
  if (workers < 1 || workers > MAX_THREADS) {
    epact_fail(EPACT_E_MISUSE, "workers must be 1 .. %d, got %d", MAX_THREADS, workers);
    return NULL;
  }
  epact_pool *pool = epact_calloc(1, sizeof *pool);
  if (!pool) return NULL;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&pool->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&pool->lock, NULL);
  pool->path = epact_strdup(path);
  pool->cpath = epact_strdup(cpath);
  pool->thread = epact_calloc((size_t)workers, sizeof *pool->thread);
  int code = pool->path && pool->cpath && pool->thread ? EPACT_OK : epact_fail_memory("a pool", sizeof *pool);
  for (int i = 0; i < workers && !code; i++) {
    pool->thread[i].pool = pool; // NOLINT: a failure's code is not 0
    pool->threads = i + 1;
    code = start_thread(&pool->thread[i]);
    if (code) pool->thread[i].state = ENDED;
  }
  if (!code) code = all_ready(pool);
  if (!code) return pool;
  epact_pool_close(pool, 10);
  return NULL;
}

int epact_pool_submit(epact_pool *pool, int worker, const char *task, size_t bytes)
{
  if (worker < 0 || worker >= pool->threads)
    return epact_fail(EPACT_E_MISUSE, "worker %d of %d", worker, pool->threads);
  char *copy = epact_malloc(bytes);
  if (!copy) return EPACT_E_NOMEM;
  memcpy(copy, task, bytes);
  pool_thread *thread = &pool->thread[worker];
  pthread_mutex_lock(&pool->lock);
  bool idle = thread->state == IDLE || thread->state == TAKEN;
  if (idle) {
    free(thread->task);
    thread->task = copy;
    thread->task_bytes = bytes;
    thread->state = GIVEN;
    pthread_cond_broadcast(&pool->changed);
  }
  pthread_mutex_unlock(&pool->lock);
  if (idle) return EPACT_OK;
  free(copy);
  return epact_fail(EPACT_E_MISUSE, "worker %d has a task", worker);
}

int epact_pool_wait(epact_pool *pool, double seconds, epact_outcome *outcome)
{
  double end = epact_now() + seconds;
  int code = EPACT_E_AGAIN;
  pthread_mutex_lock(&pool->lock);
  for (;;) {
    for (int i = 0; i < pool->threads && code; i++) {
      pool_thread *thread = &pool->thread[(pool->next + i) % pool->threads];
      if (thread->state != DONE) continue;
      thread->state = TAKEN;
      pool->next = (int)(thread - pool->thread) + 1;
      *outcome =
          (epact_outcome){ (int32_t)(thread - pool->thread), thread->failed, thread->outcome, thread->outcome_bytes };
      code = EPACT_OK;
    }
    int interrupted = code ? epact_signals_pending() : EPACT_OK;
    if (interrupted) code = interrupted;
    double left = end - epact_now();
    if (code != EPACT_E_AGAIN || left <= 0) break;
    wait_a_slice(pool, left);
  }
  pthread_mutex_unlock(&pool->lock);
  return code;
}

int epact_pool_close(epact_pool *pool, double grace)
{
  if (!pool) return EPACT_OK;
  double end = epact_now() + grace;
  int running = 0;
  pthread_mutex_lock(&pool->lock);
  pool->closing = true;
  pthread_cond_broadcast(&pool->changed);
  for (;;) {
    running = 0;
    for (int i = 0; i < pool->threads; i++) running += pool->thread[i].state != ENDED;
    double left = end - epact_now();
    if (!running || left <= 0) break;
    wait_a_slice(pool, left);
  }
  pthread_mutex_unlock(&pool->lock);
  if (running) return epact_fail(EPACT_E_AGAIN, "%d workers are still busy", running);
  for (int i = 0; i < pool->threads; i++) {
    if (pool->thread[i].started) pthread_join(pool->thread[i].thread, NULL);
    free(pool->thread[i].task);
    free(pool->thread[i].outcome);
  }
  pthread_mutex_destroy(&pool->lock);
  pthread_cond_destroy(&pool->changed);
  free(pool->thread);
  free(pool->path);
  free(pool->cpath);
  free(pool);
  return EPACT_OK;
}
