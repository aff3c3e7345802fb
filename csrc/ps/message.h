/* What workers (clients) and shards say to each other. The state machines see only this struct:
 * whether its pointers lead into the sender's memory (one process) or into a decoded frame (several)
 * they do not know. Pointers are lent for the duration of a step; who keeps data copies it. */
#ifndef EPACT_PS_MESSAGE_H
#define EPACT_PS_MESSAGE_H

#include "encoding.h"
#include "store.h"

typedef enum {
  /* worker -> shard */
  EPACT_M_CREATE = 1,  /* schema, text = name */
  EPACT_M_BATCH,       /* the increments of (slot, clock); final: the worker has finished */
  EPACT_M_READ,        /* rows of one table; need; section[0] has the ids */
  EPACT_M_CHANGES,     /* others' increments after `cursor`; need */
  EPACT_M_WAIT,        /* answered when the minimum clock reaches need */
  EPACT_M_UNSUBSCRIBE, /* section[0]: rows of one table this process holds no more; cursor: of reads before that version;
                          no answer */
  /* shard -> worker */
  EPACT_M_CREATED,
  EPACT_M_ACK,     /* clock: batches up to it are applied here */
  EPACT_M_ROWS,    /* answer to READ: clock = minimum; applied = the asker's last applied batch; cursor = version;
                      section[1]: the last applied batch of every worker of the asker's process */
  EPACT_M_FEED,    /* answer to CHANGES: cursor = last entry sent */
  EPACT_M_REACHED, /* answer to WAIT */
  EPACT_M_REFUSED, /* code and text: the request or batch was refused */
  /* shard -> process (slot: any of its workers) */
  EPACT_M_PUSH, /* changes of one table's subscribed rows from version `applied` to version `cursor`; clock = minimum;
                   request = number of the part, final: the last one. section[0]: last applied batches, as in ROWS;
                   [1]: whole rows; [2]: rows by their changed cells, as values */
  /* process -> process, outside the state machines */
  EPACT_M_REGISTER,  /* to rank 0: text = endpoint, slot = workers */
  EPACT_M_MEMBERS,   /* from rank 0: text = "workers endpoint\n" for every rank */
  EPACT_M_STOP,      /* text = reason */
  EPACT_M_HEARTBEAT, /* a sign of life; final: the sender needs nothing more of the others */
  EPACT_M_SUSPECT,   /* to rank 0: text = why rank `cursor` seems lost */
  EPACT_M_GONE,      /* from rank 0: rank `cursor` is given up; text = why */
  EPACT_M_ADMIT,     /* from rank 0: rank `cursor` joins with `request` workers from `slot` on; text = its entry */
  EPACT_M_ADMITTED,  /* to a process that joins: the shard of the sender takes its batches from `clock` on */
  EPACT_M_SAVED,     /* to rank 0: the sender's part of the snapshot at `clock` is on disk (cursor bytes with the
                        checksum `table`), or was not made (code, text); final: its journal holds clocks < `clock` */
  EPACT_M_DURABLE,   /* from rank 0: a loss of all processes costs nothing before `clock`; files of clocks before
                        `cursor` are not needed any more */
  /* in files only */
  EPACT_M_PART,   /* begins a part: clock, request = shards, slot = workers of the job */
  EPACT_M_STATE,  /* blob: what the worker in `slot` keeps for itself, at `clock` */
  EPACT_M_SYNCED, /* in a journal: all before byte `cursor` was synced. Whose it is: of rank `shard` from `clock` on, in
                     the life `incarnation` of the run, of `request` shards and `slot` workers */
  EPACT_M_END,    /* ends a part: cursor = records before it */
  EPACT_M_KINDS
} epact_message_kind;

#define EPACT_FOREVER INT64_MAX /* the clock of a slot that has finished */
#define EPACT_STAGING_WINDOW 64 /* clocks a batch may be ahead of its slot's last one received */
#define EPACT_MAX_SLOTS 4096    /* workers of a job */
#define EPACT_MAX_SECTIONS 4096
#define EPACT_LONG_BYTES ((size_t)64 << 10) /* what has more waits for nobody, and nobody short for it */
#define EPACT_MAX_NAME 255

typedef struct epact_batch epact_batch;

typedef struct {
  epact_message_kind kind;
  int32_t sender;       /* the rank of the process it comes from; set by the net */
  int32_t shard;        /* the shard's rank: whereto or wherefrom */
  int32_t slot;         /* the worker's id: wherefrom or whereto */
  uint32_t incarnation; /* of the worker in that slot */
  uint32_t table;
  uint32_t request; /* echoed in the answer */
  int64_t clock;    /* BATCH: its clock; requests: the minimum needed; answers: the minimum */
  int64_t applied;  /* ROWS: clock of the asker's last batch in these values; -1 none */
  int64_t cursor;   /* CHANGES, FEED: position in the table's feed; ROWS, PUSH: the shard's version */
  int32_t code;     /* REFUSED */
  bool final;       /* BATCH: no more will come from this slot; answers: the request had to wait; PUSH: the last part */
  int32_t sections;
  const epact_section *section;
  const epact_schema *schema; /* CREATE */
  const char *text;           /* CREATE, REFUSED, ...; never NULL after decoding */
  const void *blob;           /* STATE */
  size_t blob_bytes;
  epact_batch *batch; /* holds the sections as a frame does, and may be kept (epact_wire_seal); NULL: nothing does */
  bool finite;        /* BATCH in one process: no value of it is infinite or not a number */
  bool behind;        /* something long that it belongs to may be on its way: this stays behind it */
} epact_message;

/* Where a step puts the messages it makes; consumed before emit returns. */
typedef struct {
  void (*emit)(void *context, const epact_message *message);
  void *context;
} epact_outbox;

/* A refcounted (epact_retain, epact_release) immutable copy of some sections, in one block. */
struct epact_batch {
  int32_t sections;
  const epact_section *section;
  size_t bytes; /* of the arrays */
  /* of a batch that is a frame's payload: room for the frame's head is before it (wire.h) */
  char *payload;
  size_t payload_bytes;
  uint32_t payload_crc;
  size_t head; /* bytes of the head there; 0: none yet */
};

/** NULL when memory is short. */
epact_batch *epact_batch_copy(int sections, const epact_section *section);
/** As epact_batch_copy, of one section, with the values as its type says. */
epact_batch *epact_batch_copy_decoded(const epact_section *section);

/** Cells of a section: rows x cols or start[rows]; 0 for a section of row ids only. */
static inline int64_t epact_section_cells(const epact_section *section)
{
  if (section->start) return (int64_t)section->start[section->rows];
  return section->value ? section->rows * section->cols : 0;
}

/* The arrays of a section, each padded to 8 bytes, in the order row, start, col, value: the layout
 * of a batch in memory and of a payload on the wire. */
typedef struct {
  size_t row, start, col, value;
} epact_section_layout;

static inline epact_section_layout epact_section_layout_of(const epact_section *section)
{
  size_t cells = (size_t)epact_section_cells(section), rows = (size_t)section->rows;
  epact_section_layout layout = { rows * sizeof *section->row, 0, 0,
                                  cells * epact_encoded_bytes(section->type, section->encoding) };
  if (section->start) {
    layout.start = (rows + 1) * sizeof *section->start;
    layout.col = cells * sizeof *section->col;
  }
  return layout;
}

static inline size_t epact_padded(size_t bytes)
{
  return (bytes + 7) & ~(size_t)7;
}

static inline size_t epact_section_bytes(const epact_section *section)
{
  epact_section_layout layout = epact_section_layout_of(section);
  return epact_padded(layout.row) + epact_padded(layout.start) + epact_padded(layout.col) + epact_padded(layout.value);
}

/** Copies the arrays to `target` (epact_section_bytes long); *copy points into it. Returns the end. */
char *epact_section_copy(const epact_section *section, char *target, epact_section *copy);
/** The same, and goes on with the CRC32C of what was copied. */
char *epact_section_copy_crc(const epact_section *section, char *target, epact_section *copy, uint32_t *crc);

#endif
