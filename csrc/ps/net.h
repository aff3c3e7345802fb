/* The inside of net.c and its parts: registration and signs of life. All sockets belong to one thread at
 * a time: the one that opens the net, then the net's own. */
#ifndef EPACT_PS_NET_H
#define EPACT_PS_NET_H

#include "process.h"

#define EPACT_ENDPOINT_BYTES 256

typedef struct epact_frame {
  struct epact_frame *next;
  int rank;
  size_t bytes;
  char *data;
} epact_frame;

struct epact_net {
  epact_process *process;
  int32_t rank, size;
  double patience;          /* seconds this process waits for the others to register */
  int (*interrupted)(void); /* ... or until this is negative; NULL: never */
  uint64_t job;
  bool deterministic;
  int64_t snapshot_every;                 /* 0: none */
  struct epact_beginning *begin;          /* rank 0 tells it, the others hear it */
  void *context, *router, **dealer;       /* dealer[rank]; NULL for this process */
  char (*endpoint)[EPACT_ENDPOINT_BYTES]; /* by rank */
  epact_letter *early, **early_end;       /* came before this process knew the members */
  bool started;
  pthread_t thread;
  int wake[2];
  pthread_mutex_t queue_lock;
  epact_frame *queue, **queue_end;
  bool closing;
  uint64_t refused;   /* frames that were not accepted */
  uint64_t strangers; /* ... because they are another job's */
  /* signs of life: net_liveness.c */
  struct epact_peer *peer; /* by rank */
  double lease, heartbeat; /* seconds */
  double ticked, beaten;   /* when the last tick was, and the last heartbeat */
};
typedef struct epact_peer epact_peer;

/** E_SYSTEM with ZeroMQ's reason. */
int epact_net_fail(const char *what, const char *endpoint);
/** Binds the ROUTER; its endpoint becomes that of this rank. Tries until `end` while the address is in use. */
int epact_net_bind(epact_net *net, const char *endpoint, double end);
/** Connects a DEALER to the endpoint of `rank`. */
int epact_net_connect(epact_net *net, int rank);
/** Sends at once; for the thread that owns the sockets. */
int epact_net_send_now(epact_net *net, int rank, const epact_message *message);
/** The next frame that was accepted; NULL when none is there. */
epact_letter *epact_net_receive(epact_net *net);
void epact_letter_free(epact_letter *letter);

/** An endpoint that only processes of this machine can reach. */
bool epact_endpoint_is_local(const char *endpoint);

/* net_register.c */
/** Rank 0: waits for all to register, tells all. Others: register, wait to be told. */
int epact_net_register(epact_net *net, int32_t *workers, double end);

/* net_liveness.c */
/** Begins to watch the other processes. lease <= 0: the default. */
int epact_liveness_open(epact_net *net, double lease);
void epact_liveness_close(epact_net *net);
/** A frame of `rank` has come. */
void epact_liveness_heard(epact_net *net, int rank);
/** Sends heartbeats that are due, and stops the job when a process that is needed is lost.
 * @return milliseconds until the next tick is due */
long epact_liveness_tick(epact_net *net);

#endif
