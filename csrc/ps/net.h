/* The inside of net.c and its parts: addresses, who may connect, what is refused, registration and signs of
 * life. The ROUTER and the monitors belong to one thread at a time: the one that opens the net, then the net's own;
 * the DEALERs to whoever has send_lock; the door's sockets to its thread. */
#ifndef EPACT_PS_NET_H
#define EPACT_PS_NET_H

#include "keys.h"
#include "process.h"

#include <stdatomic.h>

#define EPACT_ENDPOINT_BYTES 256

/* Its bytes are in an object (epact_retain) that ZeroMQ reads from. */
typedef struct epact_frame {
  int rank;
  bool slow; /* goes where long ones go */
  size_t bytes;
  char *data;
  void *object;
} epact_frame;

/* net_refusals.c: under its lock, since the net's thread and the door's both write. */
typedef struct {
  pthread_mutex_t lock;
  int rank;
  uint64_t count[EPACT_REFUSALS];
  uint64_t hidden, unprinted; /* lines held back: since the window began, and before */
  int lines;
  double window;
} epact_refusal_book;

/* The head of a part of a long frame (net_parts.c), a message of its own; little-endian. The piece follows. */
typedef struct {
  char magic[4];
  uint16_t version, bytes; /* of this head */
  uint32_t crc;            /* of this head but these 4 bytes */
  int32_t sender;
  uint64_t number, total, offset; /* the frame's bytes; where this piece belongs */
} epact_part;

#define EPACT_PART_BYTES (((size_t)1 << 20) + 4096) /* of a frame, in one part; frames up to here are not cut */
#define EPACT_TAKEN_BYTES ((size_t)4 << 20)         /* that are received before a look at what is to be sent */

typedef struct {
  char *data; /* an object */
  size_t total, got;
  uint32_t crc; /* of what has come */
} epact_assembly;

typedef struct epact_door epact_door;

struct epact_net {
  epact_process *process;
  int32_t rank;
  int32_t capacity;     /* ranks there is room for */
  _Atomic int32_t size; /* ranks that are known; grows when a process joins */
  int32_t servers;
  bool joins;
  atomic_bool *gone;        /* by rank: given up, or has left */
  double patience;          /* seconds this process waits for the others to register */
  int (*interrupted)(void); /* ... or until this is negative; NULL: never */
  uint64_t job;             /* the number of the job, which all know: frames that register carry it */
  uint64_t *number;         /* by rank: what frames to it carry; drawn by each, told only to members */
  bool deterministic;
  bool journal;
  int64_t snapshot_every;                 /* 0: none */
  struct epact_beginning *begin;          /* rank 0 tells it, the others hear it */
  void *context, *router, **dealer;       /* dealer[rank]; NULL for this process */
  void **slow;                            /* by rank: the DEALER of long frames; NULL: there was none yet */
  void **monitor;                         /* by rank: of its DEALER */
  char (*endpoint)[EPACT_ENDPOINT_BYTES]; /* by rank */
  char (*key)[EPACT_KEY_BYTES];           /* by rank: its public key; "" without keys */
  epact_assembly *assembly;               /* by rank: of the long frame that is coming from it */
  epact_keys *keys;                       /* NULL: connections are plain */
  epact_door *door;
  epact_refusal_book refusals;
  epact_letter *early, **early_end; /* came before this process knew the members */
  epact_spares *spares;             /* memory of frames */
  bool of_sibling;                  /* the last frame was of another job of the same program */
  bool started;
  pthread_t thread;
  int wake[2];
  pthread_mutex_t send_lock; /* of dealer[] and slow[] */
  atomic_bool closing;
  int failure; /* a frame was lost for want of memory */
  /* signs of life: net_liveness.c */
  struct epact_peer *peer; /* by rank */
  double lease, heartbeat; /* seconds */
  double ticked;           /* when the last tick was */
  pthread_t heart;
  atomic_bool parts; /* this process needs nothing more of the others */
  bool beats;        /* the thread of heartbeats runs */
  bool rests;        /* it is to end; under rest_lock */
  pthread_mutex_t rest_lock;
  pthread_cond_t rest;
};
typedef struct epact_peer epact_peer;

/** E_SYSTEM with ZeroMQ's reason. */
int epact_net_fail(const char *what, const char *endpoint);
/** Binds the ROUTER; its endpoint becomes that of this rank. Tries until `end` while the address is in use.
 * E_AGAIN: it is no address of this machine. */
int epact_net_bind(epact_net *net, const char *endpoint, double end);
/** Connects *dealer to the endpoint of `rank`; with send_lock. watched: by the monitor of that rank. */
int epact_net_dial(epact_net *net, int rank, void **dealer, bool watched);
/** Connects a DEALER to the endpoint of `rank`. */
int epact_net_connect(epact_net *net, int rank);
/** The next frame that was accepted; NULL when none is there. *bytes grows by those that came. */
epact_letter *epact_net_receive(epact_net *net, size_t *bytes);

/** Whether a letter comes from the process it names, as far as keys can tell. */
bool epact_net_is_from(const epact_net *net, const epact_letter *letter);

/* net_address.c */
/** MISUSE unless it is tcp://HOST:PORT or ipc://PATH. */
int epact_root_check(const char *root);
/** An endpoint that needs no look into the names of machines. */
bool epact_endpoint_is_numeric(const char *endpoint);
/** Binds the ROUTER of rank 0 where `root` leads, or at `address` (may be NULL). */
int epact_root_bind(epact_net *net, const char *root, const char *address, double end);
/** Finds the root's endpoint, and `own` for this process to bind, by `address` (may be NULL) or by the route to it. */
int epact_root_find(epact_net *net, const char *root, const char *address, double end, char *own);

/* net_security.c */
/** Reads the keys; E_AUTH where there must be some. */
int epact_security_open(epact_net *net, const epact_process_options *options);
/** Ends the door's thread: after the context. */
void epact_security_close(epact_net *net);
/** Limits of any socket. */
int epact_security_socket(void *socket);
/** Prepares the ROUTER, before it is bound. */
int epact_security_server(epact_net *net);
/** Opens the monitor of the DEALER to `rank`, before it is connected. */
int epact_security_watch(epact_net *net, void *dealer, int rank);
/** Prepares a DEALER to `rank`, before it is connected. */
int epact_security_client(epact_net *net, void *dealer, int rank);
/** Takes an event off a socket's monitor; false when there is none. */
bool epact_net_event(void *monitor, int *number, int64_t *value);
/** Handshakes that broke off one soon after another: when the first and the last did so; 0: there are none. */
typedef struct {
  double first, last;
} epact_broken_off;

/** E_AUTH when an event of the DEALER to `rank` means that the handshake will not succeed. */
int epact_security_event(const epact_net *net, int rank, int number, int64_t value, epact_broken_off *broken);

/* net_parts.c */
/** The head of the part that begins at `offset` of a frame. @return the bytes of the frame in it */
size_t epact_part_head(epact_part *part, int sender, uint64_t number, size_t total, size_t offset);
bool epact_part_is(const char *data, size_t bytes);
/** Takes a part that came over a connection of the key `user`. EPACT_OK: *frame is whole, and the caller's (data, an
 * object; total; crc); E_AGAIN: not yet. */
int epact_part_take(epact_net *net, const char *head, size_t head_bytes, const char *piece, size_t bytes,
                    const char *user, epact_assembly *frame);
void epact_parts_close(epact_net *net);

/* net_refusals.c */
void epact_refusals_init(epact_refusal_book *book, int rank);
/** Counts, and says on stderr what was refused unless too much is said; format NULL: counts only. */
void epact_refuse(epact_refusal_book *book, int reason, const char *format, ...) __attribute__((format(printf, 3, 4)));
/** Says how much was held back, now and then. */
void epact_refusals_tick(epact_refusal_book *book, bool last);
uint64_t epact_refusals_of(epact_refusal_book *book, int reason);

/* net_members.c */
/** Rank 0: a registration came while the job runs. */
int epact_members_join(epact_net *net, const epact_letter *letter);
/** GONE, ADMIT or SUSPECT. */
int epact_members_take(epact_net *net, const epact_message *message);
/** Rank 0 gives a process up; others tell rank 0 that it seems lost. */
int epact_members_lose(epact_net *net, int rank, const char *reason);
/** A frame of a process that was given up: it is told. */
void epact_members_fence(epact_net *net, int rank);

/* net_register.c */
/* What the members know of each other: "endpoint number key", the key being - without keys. */
#define EPACT_ENTRY_BYTES (EPACT_ENDPOINT_BYTES + EPACT_KEY_BYTES + 20)
typedef struct {
  char endpoint[EPACT_ENDPOINT_BYTES], key[EPACT_KEY_BYTES];
  uint64_t number;
} epact_entry;
void epact_entry_write(const epact_net *net, int rank, char *text);
/** *used: its characters. False for one that does not fit this job. */
bool epact_entry_read(const epact_net *net, const char *text, epact_entry *entry, int *used);
void epact_entry_keep(epact_net *net, int rank, const epact_entry *entry);
/** The list of members as MEMBERS carries it, epact_malloc'ed. */
char *epact_members_text(const epact_net *net, const int32_t *workers);
/** Rank 0: waits for all to register, tells all. Others: register, wait to be told. */
int epact_net_register(epact_net *net, int32_t *workers, double end);

/* net_liveness.c */
struct epact_peer {
  double heard; /* when its last frame came */
  double cut;   /* when its connection closed; 0 while it is open */
  atomic_bool is_cut;
  atomic_bool parted; /* it needs nothing more of this process */
  epact_broken_off broken;
  double fenced; /* when it was told last that it was given up, or rank 0 that it seems lost */
  char *reason;  /* why it was given up; NULL: it was not */
  bool *settled; /* by own worker: its shard has told that the last batch is applied; NULL: none yet */
  int32_t settled_count;
};
/** Begins to watch the other processes, and to tell them that this one is there. lease <= 0: the default. */
int epact_liveness_open(epact_net *net, double lease);
/** Ends the heartbeats, before the sockets are closed. */
void epact_liveness_rest(epact_net *net);
void epact_liveness_close(epact_net *net);
/** A frame of `rank` has come. */
void epact_liveness_heard(epact_net *net, int rank);
/** The shard of `rank` has applied the last batch of an own worker. */
void epact_liveness_settled(epact_net *net, int rank, int local);
/** `rank` needs nothing more of this process: it has said so, or is not there any more. */
void epact_liveness_parted(epact_net *net, int rank);
/** When the net's thread has ended: learns which connections have closed since. */
void epact_liveness_last_look(epact_net *net);
/** It reads no more: it was given up, has parted, or its connection is closed for good. */
bool epact_liveness_has_left(const epact_net *net, int rank);
/** Sends heartbeats that are due, and stops the job when a process that is needed is lost.
 * @return milliseconds until the next tick is due */
long epact_liveness_tick(epact_net *net);

#endif
