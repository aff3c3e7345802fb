/* Frames as they go: what is long by a connection of its own and in parts, so that nothing short queues behind it.
 * ZeroMQ reads from where they are, be it the copy of a batch that may have to be sent again. */
#include "net.h"

#include "../base/fault.h"
#include "../base/internal.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

static void release_object(void *data, void *object)
{
  (void)data;
  epact_release(object);
}

/* Queues have no limit, so that EAGAIN says: there is no connection any more, because the other side has refused our key.
 * The frame is lost like one on the way; who watches the connections knows the reason, and stops the job with it. */
static int send_message(epact_net *net, int rank, void *socket, zmq_msg_t *message, int flags)
{
  for (;;) {
    bool fault = epact_fault(EPACT_FAULT_SEND);
    if (!fault && zmq_msg_send(message, socket, flags | ZMQ_DONTWAIT) >= 0) return EPACT_OK;
    if (!fault && zmq_errno() == EINTR) continue;
    bool refused = !fault && zmq_errno() == EAGAIN && net->keys;
    int code = refused ? EPACT_OK : epact_net_fail("cannot send to", net->endpoint[rank]);
    zmq_msg_close(message);
    return code;
  }
}

/* ZeroMQ reads the bytes where they are, and lets go of the object when it has sent them. */
static int send_piece(epact_net *net, const epact_frame *f, void *socket, size_t offset, size_t bytes)
{
  zmq_msg_t message;
  epact_retain(f->object);
  if (zmq_msg_init_data(&message, f->data + offset, bytes, release_object, f->object)) {
    epact_release(f->object);
    return epact_fail_memory("a frame", bytes);
  }
  return send_message(net, f->rank, socket, &message, 0);
}

static int send_parts(epact_net *net, const epact_frame *f, void *socket)
{
  int code = EPACT_OK;
  for (size_t offset = 0; offset < f->bytes && !code;) {
    zmq_msg_t head;
    if (zmq_msg_init_size(&head, sizeof(epact_part))) return epact_fail_memory("a part", sizeof(epact_part));
    epact_part part;
    size_t piece = epact_part_head(&part, net->rank, net->number[f->rank], f->bytes, offset);
    memcpy(zmq_msg_data(&head), &part, sizeof part);
    code = send_message(net, f->rank, socket, &head, ZMQ_SNDMORE);
    if (!code) code = send_piece(net, f, socket, offset, piece);
    offset += piece;
  }
  return code;
}

/* With send_lock. */
static int send_frame(epact_net *net, const epact_frame *f)
{
  int code = EPACT_OK;
  if (f->slow && !net->slow[f->rank]) code = epact_net_dial(net, f->rank, &net->slow[f->rank], false);
  if (code) return code;
  void *socket = f->slow ? net->slow[f->rank] : net->dealer[f->rank];
  return f->bytes <= EPACT_PART_BYTES ? send_piece(net, f, socket, 0, f->bytes) : send_parts(net, f, socket);
}

/* A message as bytes: in the memory of its batch, where it has one, else in its own. */
static int make_frame(epact_net *net, int rank, const epact_message *message, epact_frame *f)
{
  int code = EPACT_E_AGAIN;
  epact_message stamped = *message;
  stamped.sender = net->rank;
  *f = (epact_frame){ .rank = rank };
  if (message->batch) code = epact_wire_seal(&stamped, net->number[rank], &f->data, &f->bytes);
  if (!code) {
    f->object = message->batch;
    epact_retain(f->object);
  } else if (code == EPACT_E_AGAIN) {
    f->data = f->object = epact_spares_object(net->spares, epact_wire_size(message));
    code = f->data ? epact_wire_encode(&stamped, net->number[rank], f->data, &f->bytes) : EPACT_E_NOMEM;
  }
  f->slow = message->behind || f->bytes > EPACT_LONG_BYTES;
  return code;
}

int epact_net_send(epact_net *net, int rank, const epact_message *message)
{
  epact_frame f;
  if (net->gone[rank] && message->kind != EPACT_M_STOP) return EPACT_OK; /* it is told nothing else */
  int code = make_frame(net, rank, message, &f);
  if (!code) {
    pthread_mutex_lock(&net->send_lock);
    code = send_frame(net, &f);
    pthread_mutex_unlock(&net->send_lock);
  }
  epact_release(f.object);
  return code;
}
