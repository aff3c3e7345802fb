/* Who comes without the right key: the five ways to be wrong are refused at the handshake, beside a job that
 * goes on; and a process of Epact that is refused says so, within about a second. */
#include "hostile.h"

#include <sys/stat.h>

static char base[] = "/tmp/epact-keys-XXXXXX";

typedef struct {
  char folder[128];
  char public_key[EPACT_KEY_BYTES], secret[EPACT_KEY_BYTES];
} node;

static void write_key(const node *to, const char *name, const char *key)
{
  char path[256];
  snprintf(path, sizeof path, "%s/%s", to->folder, name);
  FILE *file = fopen(path, "w");
  EXPECT(file && fprintf(file, "# a node\n%s\n", key) > 0 && !fclose(file), "%s is written", path);
}

static void new_node(node *n, const char *name)
{
  epact_keys *keys = NULL;
  char allowed[160];
  snprintf(n->folder, sizeof n->folder, "%s/%s", base, name);
  EXPECT(!epact_keys_create(n->folder, n->public_key), "%s", epact_error_message());
  EXPECT(!epact_keys_read(n->folder, &keys), "%s", epact_error_message());
  if (keys) memcpy(n->secret, keys->secret_key, EPACT_KEY_BYTES);
  epact_keys_free(keys);
  snprintf(allowed, sizeof allowed, "%s/allowed", n->folder);
  mkdir(allowed, 0700);
}

static void refuse_handshakes(good_job *job, const node *root, const node *listed, const node *other)
{
  static const struct {
    const char *what;
    int reason;
    bool keys, wrong_server, listed_public, listed_secret;
  } wrong[] = { { "a key that is not listed", EPACT_REFUSED_KEY, true, false, false, false },
                { "a connection without keys", EPACT_REFUSED_HANDSHAKE, false, false, false, false },
                { "a listed public key with another secret", EPACT_REFUSED_HANDSHAKE, true, false, true, false },
                { "another server's public key", EPACT_REFUSED_HANDSHAKE, true, true, true, true } };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    double before = refused(job, wrong[i].reason), malformed = refused(job, EPACT_REFUSED_MALFORMED);
    const char *server = !wrong[i].keys ? NULL : wrong[i].wrong_server ? other->public_key : root->public_key;
    stranger s = stranger_open(job, server, wrong[i].listed_public ? listed->public_key : other->public_key,
                               wrong[i].listed_secret ? listed->secret : other->secret);
    zmq_send(s.socket, "garbage", 7, ZMQ_DONTWAIT);
    AWAIT(refused(job, wrong[i].reason) > before);
    EXPECT(refused(job, wrong[i].reason) > before, "%s is refused", wrong[i].what);
    good_job_gets_on(job, wrong[i].what);
    EXPECT(refused(job, EPACT_REFUSED_MALFORMED) == malformed, "no frame comes from %s", wrong[i].what);
    stranger_close(&s);
  }
  void *context = zmq_ctx_new(), *plain = zmq_socket(context, ZMQ_DEALER);
  int linger = 0;
  double before = refused(job, EPACT_REFUSED_HANDSHAKE);
  zmq_setsockopt(plain, ZMQ_LINGER, &linger, sizeof linger);
  zmq_setsockopt(plain, ZMQ_PLAIN_USERNAME, "epact", 5);
  zmq_setsockopt(plain, ZMQ_PLAIN_PASSWORD, "epact", 5);
  EXPECT(!zmq_connect(plain, job->root), "a stranger connects");
  AWAIT(refused(job, EPACT_REFUSED_HANDSHAKE) > before);
  EXPECT(refused(job, EPACT_REFUSED_HANDSHAKE) > before, "a password is refused");
  zmq_close(plain);
  zmq_ctx_term(context);
}

/* The third node's key is listed, so its frames come through; but they are not rank 1's. */
static void refuse_another_node(good_job *job, const node *root, const node *third)
{
  char frame[512];
  stranger s = stranger_open(job, root->public_key, third->public_key, third->secret);
  double before = refused(job, EPACT_REFUSED_MALFORMED);
  zmq_send(s.socket, "garbage", 7, 0);
  expect_refused(job, EPACT_REFUSED_MALFORMED, before, 1, "a frame of a listed node");
  epact_message stop = {
    .kind = EPACT_M_STOP, .sender = 1, .shard = 1, .slot = -1, .text = "stopped by the third node"
  };
  size_t bytes = encode(&stop, job->process[0]->net->number[0], frame);
  before = refused(job, EPACT_REFUSED_SENDER);
  zmq_send(s.socket, frame, bytes, 0);
  expect_refused(job, EPACT_REFUSED_SENDER, before, 1, "a listed node that speaks for another");
  good_job_gets_on(job, "another node");
  stranger_close(&s);
}

static void expect_unwelcome(const good_job *job, const char *keys, const char *pattern)
{
  epact_process_options options = {
    .rank = 1, .size = 2, .workers = 1, .job = job->number, .timeout = PATIENCE, .root = job->root, .keys = keys
  };
  double begin = epact_now();
  epact_process *process = epact_process_open(&options);
  double seconds = epact_now() - begin;
  EXPECT(!process, "a process comes in: %s", pattern);
  EXPECT(epact_error_code() == EPACT_E_AUTH, "%s is not E_AUTH but %s", pattern, epact_error_message());
  EXPECT(strstr(epact_error_message(), pattern), "'%s' says not '%s'", epact_error_message(), pattern);
  EXPECT(seconds < PATIENCE / 4, "'%s' took %g s", pattern, seconds);
  epact_process_close(process);
}

/* A handshake that waits for lost packets ends after seconds too, but it is no refusal. */
static void tell_refusals_from_losses(const good_job *job)
{
  const epact_net *net = job->process[0]->net;
  int event = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
  double now = epact_now();
  epact_broken_off none = { 0, 0 }, soon = { now - 2, now - 0.1 }, late = { now - 10, now - 5 };
  EXPECT(!epact_security_event(net, 1, event, 0, &none), "the first handshake that breaks off is a refusal");
  EXPECT(none.first >= now && none.last == none.first, "it is not noted");
  EXPECT(epact_security_event(net, 1, event, 0, &soon) == EPACT_E_AUTH, "one after another is no refusal");
  EXPECT(!epact_security_event(net, 1, event, 0, &late), "one that came after 5 s is a refusal");
  EXPECT(late.first >= now, "a handshake counts with one of 5 s ago");
  EXPECT(!epact_security_event(net, 1, ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0, &soon) && soon.first == 0,
         "a handshake that succeeds is not the end of it");
}

int main(void)
{
  good_job job;
  node root, first, third, other;
  char command[160];
  if (!mkdtemp(base) || !freopen("/dev/null", "w", stderr)) return 2;
  new_node(&root, "root");
  new_node(&first, "first");
  new_node(&third, "third");
  new_node(&other, "other");
  write_key(&root, "allowed/first.pub", first.public_key);
  write_key(&root, "allowed/third.pub", third.public_key);
  write_key(&first, "root.pub", root.public_key);

  good_job_start(&job, root.folder, root.folder); /* one key for all */
  refuse_handshakes(&job, &root, &first, &other);
  expect_unwelcome(&job, NULL, "wants keys (EPACT_KEYS)");
  expect_unwelcome(&job, other.folder, "breaks off the handshake");
  write_key(&other, "root.pub", root.public_key);
  expect_unwelcome(&job, other.folder, "does not admit this process's key");
  good_job_end(&job);

  good_job_start(&job, root.folder, first.folder); /* a key for each node */
  refuse_another_node(&job, &root, &third);
  good_job_end(&job);

  good_job_start(&job, NULL, NULL);
  expect_unwelcome(&job, root.folder, "works without keys");
  tell_refusals_from_losses(&job);
  good_job_end(&job);

  snprintf(command, sizeof command, "rm -r %s", base);
  EXPECT(!system(command), "the keys are removed");
  printf("hostile_keys: %s\n", violations ? "FAILED" : "ok");
  return violations != 0;
}
