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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"

#define LINE_BYTES 4096   /* a longer line is passed on in pieces */
#define TERM_GRACE 2.0    /* seconds between SIGTERM and SIGKILL */
#define REMOTE_GRACE 2.0  /* seconds between a SIGKILL on another machine and the end of the connection to it */
#define SIGNAL_PAUSE 0.5  /* one Ctrl-C may come twice: from the terminal and from a program around this one */
#define ASKS_AGAIN 75     /* exit status (EX_TEMPFAIL): the job lost a process and wants to be started again */
#define NOT_REACHED 255   /* exit status of ssh itself */
#define SIGNAL_STATUS 128 /* what shells add to the signal that ended a process */
#define POLL_MILLISECONDS 50

/* One of a child's two output streams. */
typedef struct {
  int fd; /* -1 at its end */
  FILE *to;
  size_t length;
  char line[LINE_BYTES];
} stream;

typedef struct {
  pid_t pid;   /* 0 once it has ended */
  int control; /* its standard input */
  bool remote;
  stream out, error;
} child;

typedef struct {
  child *children;
  struct pollfd *polled;
  const epact_launch_options *options;
  epact_launch_end *end;
  bool ended_here;                                  /* statuses are of our making from here on */
  int running;                                      /* processes */
  bool open;                                        /* some output may still come */
  double quiet_until, term_at, kill_at, hang_up_at; /* 0: not set */
} job;

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

/* Pairs of descriptors for a child: [0] is ours. */
static int open_streams(int control[2], int out[2], int error[2])
{
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control)) return errno;
  if (pipe2(out, O_CLOEXEC)) return errno;
  return pipe2(error, O_CLOEXEC) ? errno : 0;
}

static void close_open(int fd)
{
  if (fd >= 0) close(fd);
}

/* In a process group of its own: a terminal's Ctrl-C comes to the launcher, which passes it on in its own way, and
 * what the child itself has started can be ended with it. */
static int spawn(pid_t *pid, int input, int output, int error, char *const *argv)
{
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  int failed = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return failed;
}

static int start_child(child *c, char *const *argv)
{
  int control[2] = { -1, -1 }, out[2] = { -1, -1 }, error[2] = { -1, -1 };
  pid_t pid = 0;
  int failed = open_streams(control, out, error);
  if (!failed) failed = spawn(&pid, control[1], out[1], error[1], argv);
  close_open(control[1]);
  close_open(out[1]);
  close_open(error[1]);
  if (failed) {
    close_open(control[0]);
    close_open(out[0]);
    close_open(error[0]);
    return epact_fail(EPACT_E_SYSTEM, "cannot start %s: %s", argv[0], strerror(failed));
  }
  c->pid = pid;
  c->control = control[0];
  c->out = (stream){ .fd = out[0], .to = stdout };
  c->error = (stream){ .fd = error[0], .to = stderr };
  return EPACT_OK;
}

static void signal_child(const child *c, int number)
{
  if (!c->remote) {
    kill(-c->pid, number);
    return;
  }
  const char *word = number == SIGINT ? "INT\n" : number == SIGTERM ? "TERM\n" : "KILL\n";
  /* One that does not read any more is hung up on later. */
  (void)!send(c->control, word, strlen(word), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void signal_all(const job *j, int number)
{
  for (int i = 0; i < j->options->count; i++) {
    if (j->children[i].pid) signal_child(&j->children[i], number);
  }
}

/* Ends the connections to processes that did not end by themselves. */
static void hang_up(const job *j)
{
  for (int i = 0; i < j->options->count; i++) {
    if (j->children[i].pid) kill(-j->children[i].pid, SIGKILL);
  }
}

/* Reads what there is within one poll. */
static void read_all(job *j)
{
  int count = j->options->count;
  j->open = false;
  for (int i = 0; i < count; i++) {
    const child *c = &j->children[i];
    j->polled[2 * i] = (struct pollfd){ c->out.fd, POLLIN, 0 };
    j->polled[2 * i + 1] = (struct pollfd){ c->error.fd, POLLIN, 0 };
    j->open = j->open || c->out.fd >= 0 || c->error.fd >= 0;
  }
  if (poll(j->polled, (nfds_t)(2 * count), POLL_MILLISECONDS) <= 0) return;
  for (int i = 0; i < count; i++) {
    if (j->polled[2 * i].revents) read_stream(&j->children[i].out, i);
    if (j->polled[2 * i + 1].revents) read_stream(&j->children[i].error, i);
  }
}

/* Takes note of how a process ended, unless the launcher itself has ended it. */
static void note_end(job *j, int rank, int status)
{
  epact_launch_end *end = j->end;
  int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  int code = number ? SIGNAL_STATUS + number : WEXITSTATUS(status);
  /* A shell on the other machine tells of a signal in its exit status. */
  bool told = j->children[rank].remote && code > SIGNAL_STATUS && code <= SIGNAL_STATUS + SIGRTMAX;
  if (told) number = code - SIGNAL_STATUS;
  if (number) fprintf(stderr, "[%d] ended by signal %d (%s)\n", rank, number, strsignal(number));
  if (j->ended_here || code == 0) return;
  if (code > end->status) end->status = code;
  bool lost = !end->interrupted && (number || code == ASKS_AGAIN);
  if (end->rank >= 0 && (end->lost || !lost)) return;
  end->rank = rank;
  end->signal = number;
  end->exit_status = number ? 0 : code;
  end->lost = lost;
}

static void reap(job *j)
{
  j->running = 0;
  for (int i = 0; i < j->options->count; i++) {
    child *c = &j->children[i];
    int status;
    if (!c->pid) continue;
    if (waitpid(c->pid, &status, WNOHANG) != c->pid) {
      j->running++;
      continue;
    }
    c->pid = 0;
    close(c->control);
    note_end(j, i, status);
  }
}

/* The first signal to the launcher is passed on; a second one is meant. */
static void pass_signals(job *j, double now)
{
  if (!epact_signals_pending() || now <= j->quiet_until) return;
  signal_all(j, j->quiet_until > 0 ? SIGKILL : SIGINT);
  j->end->interrupted = 1;
  if (!j->end->status) j->end->status = SIGNAL_STATUS + SIGINT;
  j->quiet_until = now + SIGNAL_PAUSE;
  j->term_at = now + TERM_GRACE;
}

/* Ends the others once one has ended badly: those that do not end by themselves by SIGTERM, then by SIGKILL. */
static void end_others(job *j, double now)
{
  const epact_launch_end *end = j->end;
  if (end->status && !(j->term_at > 0)) {
    bool at_once =
        (end->lost && j->options->again) || (j->children[end->rank].remote && end->exit_status == NOT_REACHED);
    j->term_at = at_once ? now : now + j->options->grace;
  } else if (end->lost && j->options->again && j->term_at > now) {
    j->term_at = now; /* one had failed before */
  }
  if (j->term_at > 0 && now >= j->term_at && !(j->kill_at > 0)) {
    j->ended_here = true;
    signal_all(j, SIGTERM);
    j->kill_at = now + TERM_GRACE;
  }
  if (j->kill_at > 0 && now > j->kill_at && !(j->hang_up_at > 0)) {
    signal_all(j, SIGKILL);
    j->hang_up_at = now + REMOTE_GRACE;
  }
  if (j->hang_up_at > 0 && now > j->hang_up_at) hang_up(j);
}

static void run_to_end(job *j)
{
  for (;;) {
    read_all(j);
    reap(j);
    if (!j->running && !j->open) return;
    double now = epact_now();
    pass_signals(j, now);
    end_others(j, now);
    if (!j->running && j->hang_up_at > 0) return; /* something else holds a stream open */
  }
}

static void close_streams(const job *j)
{
  for (int i = 0; i < j->options->count; i++) {
    close_open(j->children[i].out.fd);
    close_open(j->children[i].error.fd);
  }
}

static int start_all(job *j)
{
  const char *const *argv = j->options->words;
  for (int i = 0; i < j->options->count; i++) {
    /* posix_spawn takes char *const[] for reasons of history; it writes nothing */
    int code = start_child(&j->children[i], (char *const *)(uintptr_t)argv);
    if (code) return code;
    while (*argv) argv++;
    argv++;
  }
  return EPACT_OK;
}

int64_t epact_process_id(void)
{
  return getpid();
}

const char *epact_environment(int32_t index)
{
  int32_t i = 0;
  while (i < index && environ[i]) i++;
  return i == index ? environ[i] : NULL;
}

int epact_launch(const epact_launch_options *options, epact_launch_end *end)
{
  size_t count = (size_t)options->count;
  job j = { .options = options, .end = end };
  *end = (epact_launch_end){ .rank = -1 };
  j.children = epact_calloc(count, sizeof *j.children);
  j.polled = epact_calloc(count * 2, sizeof *j.polled);
  int code = j.children && j.polled ? EPACT_OK : EPACT_E_NOMEM;
  if (!code) {
    for (size_t i = 0; i < count; i++) {
      j.children[i].remote = options->remote[i] != 0;
      j.children[i].out.fd = j.children[i].error.fd = -1;
    }
    epact_signals_watch(1);
    code = start_all(&j);
    if (code) j.term_at = epact_now();
    run_to_end(&j);
    close_streams(&j);
    epact_signals_watch(0);
  }
  free(j.children);
  free(j.polled);
  return code;
}
