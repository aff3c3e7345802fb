/* What is sent to a job by those who are no part of it, or not the part they claim: each is refused, counted
 * under its reason and said on stderr, while the job goes on and ends with the right sums. */
#include "hostile.h"

#include <fcntl.h>

enum { FLOOD = 5000, IDLE = 200 };

/* The four values of a batch that, were it believed, would spoil the sums. */
static epact_message poison(int slot, int64_t clock)
{
  static const int64_t row = 1, value = 1000000;
  static epact_section section;
  section = (epact_section){
    .table = epact_crc32c(0, "clocks", 6), .type = EPACT_I64, .cols = 1, .rows = 1, .row = &row, .value = &value
  };
  return (epact_message){
    .kind = EPACT_M_BATCH, .sender = 1, .slot = slot, .clock = clock, .sections = 1, .section = &section, .text = ""
  };
}

static void send_one(good_job *job, void *socket, const void *frame, size_t bytes, int reason, const char *what)
{
  double before = refused(job, reason);
  EXPECT(zmq_send(socket, frame, bytes, 0) >= 0, "%s is sent", what);
  expect_refused(job, reason, before, 1, what);
}

static void send_damaged(good_job *job, void *socket)
{
  char frame[512], copy[512];
  epact_message batch = poison(1, 0);
  size_t bytes = encode(&batch, job->number, frame);
#define DAMAGED(reason, what, length, ...)                                                                             \
  do {                                                                                                                 \
    memcpy(copy, frame, bytes);                                                                                        \
    __VA_ARGS__;                                                                                                       \
    send_one(job, socket, copy, length, reason, what);                                                                 \
  } while (0)
  DAMAGED(EPACT_REFUSED_JOB, "a batch of who did not register", bytes, (void)0);
  DAMAGED(EPACT_REFUSED_VERSION, "another version", bytes, copy[4] = EPACT_WIRE_VERSION + 1);
  DAMAGED(EPACT_REFUSED_CORRUPT, "a bit that was flipped", bytes, copy[bytes - 3] ^= 4);
  DAMAGED(EPACT_REFUSED_CORRUPT, "a frame without its end", bytes - 8, (void)0);
  DAMAGED(EPACT_REFUSED_MALFORMED, "half a header", 20, (void)0);
  DAMAGED(EPACT_REFUSED_MALFORMED, "half a prefix", 7, (void)0);
  DAMAGED(EPACT_REFUSED_MALFORMED, "nothing", 0, (void)0);
  DAMAGED(EPACT_REFUSED_MALFORMED, "another magic", bytes, copy[0] = 'X');
  DAMAGED(EPACT_REFUSED_MALFORMED, "a header longer than the frame", bytes, copy[7] = 0x7f);
  bytes = encode(&batch, job->number + 1, frame);
  DAMAGED(EPACT_REFUSED_JOB, "another job", bytes, (void)0);
  batch.kind = EPACT_M_KINDS + 3;
  batch.sections = 0;
  bytes = encode(&batch, job->number, frame);
  DAMAGED(EPACT_REFUSED_MALFORMED, "an unknown kind", bytes, (void)0);
  epact_message again = {
    .kind = EPACT_M_REGISTER, .sender = 1, .shard = 1, .slot = 1, .text = "tcp://127.0.0.1:9 0000000000000001 -"
  };
  bytes = encode(&again, job->number, frame);
  DAMAGED(EPACT_REFUSED_SENDER, "a second rank 1", bytes, (void)0);
}

/* A part as two messages: its head, and as many bytes after it. */
static void send_piece(good_job *job, void *socket, const epact_part *part, size_t head, size_t bytes, int reason,
                       const char *what)
{
  static char piece[EPACT_PART_BYTES];
  double before = refused(job, reason);
  EXPECT(zmq_send(socket, part, head, ZMQ_SNDMORE) >= 0 && zmq_send(socket, piece, bytes, 0) >= 0, "%s is sent", what);
  expect_refused(job, reason, before, 1, what);
}

/* Parts of long frames, each wrong in one way; the number is one that only members know. */
static void send_pieces(good_job *job, void *socket)
{
  enum { LENGTH = 64, HEAD = sizeof(epact_part) };
  const size_t three = 3 * EPACT_PART_BYTES;
  uint64_t number = job->process[0]->net->number[0];
  epact_part part;
#define PIECE(reason, what, bytes, ...)                                                                                \
  do {                                                                                                                 \
    epact_part_head(&part, __VA_ARGS__);                                                                               \
    send_piece(job, socket, &part, HEAD, bytes, reason, what);                                                         \
  } while (0)
  PIECE(EPACT_REFUSED_JOB, "a stranger's part", LENGTH, 1, number + 1, LENGTH, 0);
  PIECE(EPACT_REFUSED_JOB, "a part of rank 2 of 2", LENGTH, 2, number, LENGTH, 0);
  PIECE(EPACT_REFUSED_SIZE, "a part of too much", EPACT_PART_BYTES, 1, number, EPACT_WIRE_LIMIT + 1, 0);
  PIECE(EPACT_REFUSED_MALFORMED, "an end without a beginning", 32, 1, number, LENGTH, 32);
  PIECE(EPACT_REFUSED_MALFORMED, "a part of nothing", 0, 1, number, LENGTH, 0);
  PIECE(EPACT_REFUSED_MALFORMED, "a part beyond its frame", LENGTH, 1, number, LENGTH - 8, 0);
  PIECE(EPACT_REFUSED_MALFORMED, "a frame of parts that is none", LENGTH, 1, number, LENGTH, 0);
  epact_part_head(&part, 1, number, LENGTH, 0);
  send_piece(job, socket, &part, 20, LENGTH, EPACT_REFUSED_MALFORMED, "half a part's head");
  send_one(job, socket, &part, HEAD, EPACT_REFUSED_MALFORMED, "a part's head without its piece");
  for (int begun = 1; begun <= 2; begun++) { /* who begins again begins anew */
    static char first[EPACT_PART_BYTES];
    epact_part_head(&part, 1, number, three, 0);
    for (int i = 0; i < begun; i++) {
      zmq_send(socket, &part, HEAD, ZMQ_SNDMORE);
      zmq_send(socket, first, sizeof first, 0);
    }
    PIECE(EPACT_REFUSED_MALFORMED, "a piece too early", EPACT_PART_BYTES, 1, number, three, 2 * EPACT_PART_BYTES);
  }
  double before = refused(job, EPACT_REFUSED_MALFORMED);
  epact_part_head(&part, 1, number, LENGTH, 0);
  zmq_send(socket, &part, HEAD, ZMQ_SNDMORE);
  zmq_send(socket, "12345678", 8, ZMQ_SNDMORE);
  zmq_send(socket, "12345678", 8, 0);
  expect_refused(job, EPACT_REFUSED_MALFORMED, before, 1, "a part of two pieces");
  ((char *)&part)[20] ^= 1;
  send_piece(job, socket, &part, HEAD, LENGTH, EPACT_REFUSED_CORRUPT, "a part's head with a bit that was flipped");
}

static void send_parts(good_job *job, void *socket)
{
  char frame[512];
  epact_message heartbeat = { .kind = EPACT_M_HEARTBEAT, .sender = 1, .slot = -1, .text = "" };
  size_t bytes = encode(&heartbeat, job->process[0]->net->number[0], frame);
  double before = refused(job, EPACT_REFUSED_MALFORMED);
  zmq_send(socket, frame, bytes, ZMQ_SNDMORE); /* good alone */
  zmq_send(socket, "", 0, ZMQ_SNDMORE);
  zmq_send(socket, frame, bytes, 0);
  expect_refused(job, EPACT_REFUSED_MALFORMED, before, 1, "several parts");
}

/* A member that takes liberties; frames under the number that only members know. */
static void send_as_member(good_job *job)
{
  epact_net *net = job->process[1]->net;
  double before = refused(job, EPACT_REFUSED_SENDER);
  epact_message batch = poison(0, 1 << 20);
  EXPECT(!epact_net_send(net, 0, &batch), "a batch is sent");
  expect_refused(job, EPACT_REFUSED_SENDER, before, 1, "a batch of another process's worker");
  batch.slot = 7;
  EXPECT(!epact_net_send(net, 0, &batch), "a batch is sent");
  expect_refused(job, EPACT_REFUSED_SENDER, before, 2, "a batch of a worker that is not there");
  epact_message answer = { .kind = EPACT_M_REACHED, .shard = 0, .slot = 0, .clock = 1 << 20, .text = "" };
  EXPECT(!epact_net_send(net, 0, &answer), "an answer is sent");
  expect_refused(job, EPACT_REFUSED_SENDER, before, 3, "an answer of another shard");

  epact_refusals refusals;
  epact_process_refusals(job->process[0], &refusals);
  double repeated = refusals.repeated;
  batch = poison(1, 0);
  for (int i = 0; i < 3; i++) EXPECT(!epact_net_send(net, 0, &batch), "a batch is sent");
  AWAIT((epact_process_refusals(job->process[0], &refusals), refusals.repeated >= repeated + 3));
  EXPECT(refusals.repeated >= repeated + 3, "a batch that comes again is counted");
}

/* A plain connection, before anything is sent. */
static int connect_bare(const good_job *job)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)job->port) };
  int s = socket(AF_INET, SOCK_STREAM, 0);
  if (s >= 0 && !connect(s, (struct sockaddr *)&address, sizeof address)) return s;
  if (s >= 0) close(s);
  return -1;
}

/* Nobody makes room for what a frame only claims to hold. */
static void send_oversized(good_job *job)
{
  static const unsigned char ready[] = { 4,   26,  5,   'R', 'E', 'A', 'D', 'Y', 11, 'S', 'o', 'c', 'k', 'e', 't',
                                         '-', 'T', 'y', 'p', 'e', 0,   0,   0,   6,  'D', 'E', 'A', 'L', 'E', 'R' };
  unsigned char greeting[64] = { 0xff, [9] = 0x7f, 3, 0, 'N', 'U', 'L', 'L' };
  unsigned char head[9] = { 2, 0, 0, 0, 0, 0, 0x20 }, answer[512]; /* 2 MiB are to follow */
  unsigned char command[sizeof ready];
  memcpy(command, ready, sizeof ready);
  command[1] = sizeof ready - 2;
  int s = connect_bare(job);
  struct timeval patience = { 10, 0 };
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  EXPECT(write(s, greeting, sizeof greeting) == sizeof greeting, "a greeting is sent");
  EXPECT(write(s, command, sizeof command) == sizeof command, "a command is sent");
  EXPECT(write(s, head, sizeof head) == sizeof head, "a frame is begun");
  ssize_t got;
  while ((got = read(s, answer, sizeof answer)) > 0) continue;
  EXPECT(!got, "the connection is closed on a message of 2 MiB");
  close(s);
}

static void stay_idle(good_job *job)
{
  static const unsigned char greeting[] = { 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f };
  int s[IDLE], open = 0;
  for (int i = 0; i < IDLE; i++) {
    s[i] = connect_bare(job);
    open += s[i] >= 0;
    if (i % 2 && s[i] >= 0) open -= write(s[i], greeting, sizeof greeting) != sizeof greeting;
  }
  EXPECT(open == IDLE, "%d of %d bare connections are open", open, IDLE);
  good_job_gets_on(job, "idle connections and handshakes that stand still");
  for (int i = 0; i < IDLE; i++) {
    if (s[i] >= 0) close(s[i]);
  }
}

static void flood(good_job *job, void *socket)
{
  char garbage[256];
  epact_rng rng = epact_rng_stream(1, 2, 3);
  double before = refused(job, EPACT_REFUSED_MALFORMED);
  for (int i = 0; i < FLOOD; i++) {
    size_t bytes = (size_t)epact_rng_below(&rng, sizeof garbage);
    for (size_t k = 0; k < bytes; k++) garbage[k] = (char)epact_rng_next(&rng);
    zmq_send(socket, garbage, bytes, 0);
  }
  expect_refused(job, EPACT_REFUSED_MALFORMED, before, FLOOD, "random bytes");
  good_job_gets_on(job, "a flood of random bytes");
}

/* Each who comes too late is told, not only the first. */
static void come_late(good_job *job)
{
  for (int i = 0; i < 2; i++) {
    epact_process_options options = {
      .join = 1, .size = 1, .workers = 1, .job = job->number, .timeout = PATIENCE, .root = job->root
    };
    epact_process *process = epact_process_open(&options);
    EXPECT(!process && epact_error_code() == EPACT_E_STOPPED, "who comes too late hears %s", epact_error_message());
    EXPECT(strstr(epact_error_message(), "all workers have finished"), "and not '%s'", epact_error_message());
    epact_process_close(process);
  }
}

/* Somebody at the root's address accepts connections and says nothing. */
static void meet_silence(void)
{
  char root[64];
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t length = sizeof address;
  int s = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(!bind(s, (struct sockaddr *)&address, length) && !listen(s, IDLE), "a socket listens");
  getsockname(s, (struct sockaddr *)&address, &length);
  snprintf(root, sizeof root, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
  epact_process_options options = {
    .rank = 1, .size = 2, .workers = 1, .timeout = 6, .root = root
  }; /* 5 s: a handshake */
  epact_process *process = epact_process_open(&options);
  EXPECT(!process && epact_error_code() == EPACT_E_TIMEOUT, "a silent root is %s", epact_error_message());
  EXPECT(strstr(epact_error_message(), "no handshake has ended"), "it is not told from nobody: %s",
         epact_error_message());
  epact_process_close(process);
  close(s);
}

static void check_words(FILE *words, double seconds)
{
  char line[1024];
  int lines = 0;
  bool more = false, named = false;
  rewind(words);
  while (fgets(line, sizeof line, words)) {
    lines++;
    more = more || strstr(line, " more frames or connections in ");
    named = named || strstr(line, "rank 0 refused a frame: protocol version");
    EXPECT(!strncmp(line, "epact: rank ", 12), "on stderr: %s", line);
  }
  EXPECT(more, "what was not said is counted on stderr");
  EXPECT(named, "the first refusals are said with their reason");
  EXPECT(lines <= 10 * (seconds + 2), "%d lines on stderr in %g s", lines, seconds);
}

int main(void)
{
  good_job job;
  FILE *words = tmpfile();
  int stderr_copy = dup(2);
  double begin = epact_now();
  if (!words || stderr_copy < 0 || dup2(fileno(words), 2) < 0) return 2;
  good_job_start(&job, NULL, NULL);
  stranger s = stranger_open(&job, NULL, NULL, NULL);
  send_damaged(&job, s.socket);
  send_parts(&job, s.socket);
  send_pieces(&job, s.socket);
  send_as_member(&job);
  send_oversized(&job);
  flood(&job, s.socket);
  stay_idle(&job);
  stranger_close(&s);
  good_job_finish(&job);
  come_late(&job);
  good_job_close(&job);
  meet_silence();
  dup2(stderr_copy, 2);
  check_words(words, epact_now() - begin);
  fclose(words);
  printf("hostile_frames: %s\n", violations ? "FAILED" : "ok");
  return violations != 0;
}
