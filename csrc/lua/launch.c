/* `epact launch`: child processes, their output prefixed by rank, their end. */
#include "launch.h"

#include "../base/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"

#define LINE_BYTES 4096  /* a longer line is passed on in pieces */
#define TERM_GRACE 2.0   /* seconds between SIGTERM and SIGKILL */
#define SIGNAL_PAUSE 0.5 /* a terminal's Ctrl-C may come twice: by the group and by name */
#define POLL_MILLISECONDS 50

/* One of a child's two output streams. */
typedef struct {
  int fd; /* -1 at its end */
  FILE *to;
  size_t length;
  char line[LINE_BYTES];
} stream;

typedef struct {
  pid_t pid; /* 0 once it has ended */
  stream out, error;
} child;

static void pass_on(stream *s, int rank, size_t bytes)
{
  fprintf(s->to, "[%d] %.*s\n", rank, (int)bytes, s->line);
  fflush(s->to);
}

/* Passes on whole lines; what follows the last one stays for the next read. */
static void pass_lines(stream *s, int rank)
{
  char *newline;
  while ((newline = memchr(s->line, '\n', s->length))) {
    size_t bytes = (size_t)(newline - s->line);
    pass_on(s, rank, bytes);
    s->length -= bytes + 1;
    memmove(s->line, newline + 1, s->length);
  }
  if (s->length == LINE_BYTES) {
    pass_on(s, rank, s->length);
    s->length = 0;
  }
}

static void read_stream(stream *s, int rank)
{
  ssize_t got = read(s->fd, s->line + s->length, LINE_BYTES - s->length);
  if (got > 0) {
    s->length += (size_t)got;
    pass_lines(s, rank);
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    if (s->length) pass_on(s, rank, s->length);
    close(s->fd);
    s->fd = -1;
  }
}

static int fail_start(const char *program, int error)
{
  return epact_fail(EPACT_E_SYSTEM, "cannot start %s: %s", program, strerror(error));
}

static int start_child(child *c, char *const *argv)
{
  int out[2], error[2];
  if (pipe2(out, O_CLOEXEC)) return fail_start(argv[0], errno);
  if (pipe2(error, O_CLOEXEC)) {
    int number = errno;
    close(out[0]);
    close(out[1]);
    return fail_start(argv[0], number);
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, error[1], STDERR_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  int failed = posix_spawnp(&c->pid, argv[0], &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  close(error[1]);
  c->out = (stream){ .fd = out[0], .to = stdout };
  c->error = (stream){ .fd = error[0], .to = stderr };
  if (!failed) return EPACT_OK;
  c->pid = 0;
  close(out[0]);
  close(error[0]);
  c->out.fd = c->error.fd = -1;
  return fail_start(argv[0], failed);
}

static void signal_all(const child *children, int count, int number)
{
  for (int i = 0; i < count; i++) {
    if (children[i].pid) kill(children[i].pid, number);
  }
}

/* Reads what there is within one poll; false when every stream has ended. */
static bool read_all(child *children, int count, struct pollfd *polled)
{
  bool open = false;
  for (int i = 0; i < count; i++) {
    polled[2 * i] = (struct pollfd){ children[i].out.fd, POLLIN, 0 };
    polled[2 * i + 1] = (struct pollfd){ children[i].error.fd, POLLIN, 0 };
    open = open || children[i].out.fd >= 0 || children[i].error.fd >= 0;
  }
  if (poll(polled, (nfds_t)(2 * count), POLL_MILLISECONDS) > 0) {
    for (int i = 0; i < count; i++) {
      if (polled[2 * i].revents) read_stream(&children[i].out, i);
      if (polled[2 * i + 1].revents) read_stream(&children[i].error, i);
    }
  }
  return open;
}

/* Takes note of children that have ended; the number still running. */
static int reap(child *children, int count, int32_t *worst)
{
  int running = 0;
  for (int i = 0; i < count; i++) {
    int status;
    if (!children[i].pid) continue;
    if (waitpid(children[i].pid, &status, WNOHANG) != children[i].pid) {
      running++;
      continue;
    }
    children[i].pid = 0;
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (WIFSIGNALED(status))
      fprintf(stderr, "[%d] ended by signal %d (%s)\n", i, WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (code > *worst) *worst = code;
  }
  return running;
}

static void run_to_end(child *children, int count, double grace, struct pollfd *polled, int32_t *worst)
{
  double term_at = 0, kill_at = 0, quiet_until = 0; /* 0: not set */
  bool ended_here = false;                          /* statuses are of our making from here on */
  for (;;) {
    bool open = read_all(children, count, polled);
    int32_t ignored = 0;
    int running = reap(children, count, ended_here ? &ignored : worst);
    if (!running && !open) return;
    double now = epact_now();
    if (epact_signals_pending() && now > quiet_until) { /* the first is passed on; a second is meant */
      signal_all(children, count, quiet_until > 0 ? SIGKILL : SIGINT);
      *worst = *worst ? *worst : 130;
      quiet_until = now + SIGNAL_PAUSE;
      term_at = now + TERM_GRACE;
    }
    if (*worst && running && !(term_at > 0)) term_at = now + grace;
    if (term_at > 0 && now > term_at && !(kill_at > 0)) {
      ended_here = true;
      signal_all(children, count, SIGTERM);
      kill_at = now + TERM_GRACE;
    }
    if (kill_at > 0 && now > kill_at) {
      signal_all(children, count, SIGKILL);
      if (!running) return; /* a grandchild holds a stream open */
    }
  }
}

int64_t epact_process_id(void)
{
  return getpid();
}

int epact_launch(const epact_launch_options *options, int32_t *status)
{
  int count = options->count, code = EPACT_OK;
  child *children = epact_calloc((size_t)count, sizeof *children);
  struct pollfd *polled = epact_calloc((size_t)count * 2, sizeof *polled);
  const char *const *argv = options->words;
  *status = 0;
  if (!children || !polled) code = EPACT_E_NOMEM;
  for (int i = 0; children && i < count; i++) children[i].out.fd = children[i].error.fd = -1;
  epact_signals_watch(1);
  for (int i = 0; i < count && !code; i++) {
    /* posix_spawn takes char *const[] for reasons of history; it writes nothing */
    code = start_child(&children[i], (char *const *)(uintptr_t)argv);
    while (*argv) argv++;
    argv++;
  }
  if (code && children) signal_all(children, count, SIGTERM);
  if (children && polled) run_to_end(children, count, options->grace, polled, status);
  epact_signals_watch(0);
  free(children);
  free(polled);
  return code;
}
