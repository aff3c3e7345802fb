/* Frames as they come: whole or in parts, decoded, or refused with their reason. Everything is checked before
 * it is used. */
#include "net.h"

#include "../base/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Frames carry this process's own number; those that register, the job's. */
static int decode(const epact_net *net, const char *frame, size_t bytes, epact_decoded *decoded)
{
  int code = epact_wire_decode(frame, bytes, net->number[net->rank], decoded);
  if (code != EPACT_E_JOB || net->rank != 0) return code;
  code = epact_wire_decode(frame, bytes, net->job, decoded);
  if (code || decoded->message.kind == EPACT_M_REGISTER) return code;
  epact_decoded_free(decoded);
  return epact_fail(EPACT_E_JOB, "a frame of a process that is no member of the job");
}

/* Who runs job after job at one address may hear of the last one while the next registers, or of the next one while
 * the last ends: that is counted only. */
static void refuse_frame(epact_net *net, int code)
{
  static const struct {
    int code, reason;
  } reasons[] = { { EPACT_E_VERSION, EPACT_REFUSED_VERSION },
                  { EPACT_E_JOB, EPACT_REFUSED_JOB },
                  { EPACT_E_CORRUPT, EPACT_REFUSED_CORRUPT },
                  { EPACT_E_LIMIT, EPACT_REFUSED_SIZE } };
  int reason = EPACT_REFUSED_MALFORMED;
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
    if (reasons[i].code == code) reason = reasons[i].reason;
  }
  bool over = net->started && (net->process->active == 0 || atomic_load(&net->process->stopped));
  bool quiet = code == EPACT_E_JOB && (!net->started || over);
  epact_refuse(&net->refusals, reason, quiet ? NULL : "a frame: %s", epact_error_message());
}

/* Parts nobody of us sends. @return whether there were any */
static bool drop_rest(void *socket, zmq_msg_t *last)
{
  bool any = false;
  while (zmq_msg_more(last)) {
    any = true;
    zmq_msg_close(last);
    zmq_msg_init(last);
    if (zmq_msg_recv(last, socket, ZMQ_DONTWAIT) < 0) break;
  }
  return any;
}

/* A frame in memory of its own (which is aligned; ZeroMQ's need not be). E_AGAIN: a part of one. */
static int take_letter(epact_net *net, zmq_msg_t *body, epact_letter **result)
{
  size_t bytes = zmq_msg_size(body);
  const char *data = zmq_msg_data(body);
  epact_letter *letter = epact_calloc(1, sizeof *letter);
  if (!letter) return EPACT_E_NOMEM;
  const char *user = net->keys ? zmq_msg_gets(body, "User-Id") : NULL;
  if (user) snprintf(letter->user, sizeof letter->user, "%s", user);
  int code = EPACT_OK;
  if (epact_part_is(data, bytes))
    code = epact_part_take(net, data, bytes, letter->user, &letter->frame, &bytes);
  else if ((letter->frame = epact_malloc(bytes)))
    memcpy(letter->frame, data, bytes);
  else
    code = EPACT_E_NOMEM;
  if (!code) code = decode(net, letter->frame, bytes, &letter->decoded);
  if (!code) {
    *result = letter;
    return EPACT_OK;
  }
  free(letter->frame);
  free(letter);
  return code;
}

epact_letter *epact_net_receive(epact_net *net)
{
  for (;;) {
    zmq_msg_t identity, body;
    epact_letter *letter = NULL;
    zmq_msg_init(&identity);
    zmq_msg_init(&body);
    bool got = zmq_msg_recv(&identity, net->router, ZMQ_DONTWAIT) >= 0;
    int code = EPACT_OK;
    if (got) {
      bool whole = zmq_msg_more(&identity) && zmq_msg_recv(&body, net->router, ZMQ_DONTWAIT) >= 0;
      code = whole ? take_letter(net, &body, &letter) : epact_fail(EPACT_E_PROTO, "it has no content");
      if (drop_rest(net->router, &body)) {
        if (letter) epact_letter_free(letter);
        letter = NULL;
        code = epact_fail(EPACT_E_PROTO, "it comes in several parts");
      }
    }
    zmq_msg_close(&identity);
    zmq_msg_close(&body);
    if (!got || letter) return letter;
    if (code == EPACT_E_NOMEM) { /* a frame of ours is lost: nobody must wait for it in vain */
      net->failure = code;
      return NULL;
    }
    if (code != EPACT_E_AGAIN) refuse_frame(net, code);
  }
}

void epact_letter_free(epact_letter *letter)
{
  epact_decoded_free(&letter->decoded);
  free(letter->frame);
  free(letter);
}

bool epact_net_is_from(const epact_net *net, const epact_letter *letter)
{
  int rank = letter->decoded.message.sender;
  return rank < net->size && (!net->keys || !strcmp(letter->user, net->key[rank]));
}
