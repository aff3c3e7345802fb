/* Frames as they come: whole or in parts, decoded, or refused with their reason. Everything is checked before
 * it is used. */
#include "net.h"

#include "../base/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Frames carry this process's own number; those that register, the job's. */
static int decode(epact_net *net, const char *frame, size_t bytes, uint32_t sum, epact_decoded *decoded)
{
  int code = epact_wire_decode_summed(frame, bytes, sum, net->number[net->rank], decoded);
  net->of_sibling = false;
  if (code != EPACT_E_JOB || net->rank != 0) return code;
  code = epact_wire_decode_summed(frame, bytes, sum, net->job, decoded);
  net->of_sibling = code == EPACT_E_JOB && decoded->job >> 16 == net->job >> 16;
  if (code || decoded->message.kind == EPACT_M_REGISTER) return code;
  epact_decoded_free(decoded);
  return epact_fail(EPACT_E_JOB, "a frame of a process that is no member of the job");
}

/* Who runs job after job at one address may hear of the last one in the next, or of the next one while the last ends:
 * that is counted only. Such jobs differ in the last 16 bits of their numbers. */
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
  bool quiet = code == EPACT_E_JOB && (!net->started || over || net->of_sibling);
  epact_refuse(&net->refusals, reason, quiet ? NULL : "a frame: %s", epact_error_message());
}

/* Messages nobody of us sends together with the one before. */
static void drop_rest(void *socket, zmq_msg_t *last)
{
  while (zmq_msg_more(last)) {
    zmq_msg_close(last);
    zmq_msg_init(last);
    if (zmq_msg_recv(last, socket, ZMQ_DONTWAIT) < 0) break;
  }
}

static void close_message(void *memory)
{
  zmq_msg_close(memory);
  free(memory);
}

/* A frame stays where ZeroMQ has put it, unless it is short or not aligned there. */
static int take_whole(epact_letter *letter, zmq_msg_t *body)
{
  size_t bytes = zmq_msg_size(body);
  const char *data = zmq_msg_data(body);
  bool stays = bytes > EPACT_LONG_BYTES && (uintptr_t)data % 8 == 0;
  letter->memory = epact_malloc(stays ? sizeof(zmq_msg_t) : bytes);
  if (!letter->memory) return EPACT_E_NOMEM;
  letter->release = stays ? close_message : free;
  letter->frame = stays ? data : letter->memory;
  if (!stays) {
    memcpy(letter->memory, data, bytes);
    return EPACT_OK;
  }
  zmq_msg_init(letter->memory);
  zmq_msg_move(letter->memory, body);
  return EPACT_OK;
}

static int take_part(epact_net *net, epact_letter *letter, zmq_msg_t *head, zmq_msg_t *piece, epact_assembly *whole)
{
  int code = epact_part_take(net, zmq_msg_data(head), zmq_msg_size(head), zmq_msg_data(piece), zmq_msg_size(piece),
                             letter->user, whole);
  letter->frame = letter->memory = whole->data;
  letter->release = epact_release;
  return code;
}

/* piece: NULL, or what comes with the head of a part. E_AGAIN: there is more of the frame to come. */
static int take_letter(epact_net *net, zmq_msg_t *body, zmq_msg_t *piece, epact_letter **result)
{
  epact_assembly whole = { .total = zmq_msg_size(body) };
  epact_letter *letter = epact_calloc(1, sizeof *letter);
  if (!letter) return EPACT_E_NOMEM;
  const char *user = net->keys ? zmq_msg_gets(body, "User-Id") : NULL;
  if (user) snprintf(letter->user, sizeof letter->user, "%s", user);
  int code = piece ? take_part(net, letter, body, piece, &whole) : take_whole(letter, body);
  if (!code && !piece) whole.crc = epact_wire_crc_part(0, letter->frame, whole.total, 0);
  if (!code) code = decode(net, letter->frame, whole.total, whole.crc, &letter->decoded);
  if (!code) {
    *result = letter;
    return EPACT_OK;
  }
  epact_letter_free(letter);
  return code;
}

/* What follows the identity. */
static int take_content(epact_net *net, size_t *bytes, epact_letter **letter)
{
  zmq_msg_t body, piece;
  zmq_msg_init(&body);
  zmq_msg_init(&piece);
  int code;
  bool whole = zmq_msg_recv(&body, net->router, ZMQ_DONTWAIT) >= 0;
  bool part = whole && epact_part_is(zmq_msg_data(&body), zmq_msg_size(&body));
  if (part && zmq_msg_more(&body)) whole = zmq_msg_recv(&piece, net->router, ZMQ_DONTWAIT) >= 0;
  zmq_msg_t *last = part && zmq_msg_more(&body) ? &piece : &body;
  *bytes += zmq_msg_size(last);
  if (!whole)
    code = epact_fail(EPACT_E_PROTO, "it has no content");
  else if (zmq_msg_more(last)) {
    drop_rest(net->router, last);
    code = epact_fail(EPACT_E_PROTO, "it comes in several parts");
  } else {
    code = take_letter(net, &body, part ? &piece : NULL, letter);
  }
  zmq_msg_close(&body);
  zmq_msg_close(&piece);
  return code;
}

epact_letter *epact_net_receive(epact_net *net, size_t *bytes)
{
  for (;;) {
    zmq_msg_t identity;
    epact_letter *letter = NULL;
    zmq_msg_init(&identity);
    bool got = zmq_msg_recv(&identity, net->router, ZMQ_DONTWAIT) >= 0;
    int code = EPACT_OK;
    if (got) {
      code =
          zmq_msg_more(&identity) ? take_content(net, bytes, &letter) : epact_fail(EPACT_E_PROTO, "it has no content");
    }
    zmq_msg_close(&identity);
    if (!got || letter) return letter;
    if (code == EPACT_E_NOMEM) { /* a frame of ours is lost: nobody must wait for it in vain */
      net->failure = code;
      return NULL;
    }
    if (code != EPACT_E_AGAIN) refuse_frame(net, code);
    if (*bytes >= EPACT_TAKEN_BYTES) return NULL;
  }
}

void epact_letter_free(epact_letter *letter)
{
  epact_decoded_free(&letter->decoded);
  if (letter->memory) letter->release(letter->memory);
  free(letter);
}

bool epact_net_is_from(const epact_net *net, const epact_letter *letter)
{
  int rank = letter->decoded.message.sender;
  return rank < net->size && (!net->keys || !strcmp(letter->user, net->key[rank]));
}
