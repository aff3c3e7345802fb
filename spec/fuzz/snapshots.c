/* Files of a snapshot from anywhere: a part, two journals or a manifest of any bytes is refused with a sentence or
 * makes a shard that works.
 *
 * The first byte of an input chooses the file; its high bit has the checksums made right, so that what is behind them
 * is reached. */
#include "../sim/checksum.h"
#include "harness.h"

#include "ps/client.h"
#include "ps/keeper.h"
#include "ps/shard_table.h"

const char *const epact_fuzz_name = "snapshots";

enum { RUN = 7, CLOCK = 4, SLOTS = 2 };

/* Aligned, ends where it does. */
static char *copy_of(const uint8_t *data, size_t bytes)
{
  char *copy = malloc(bytes ? bytes : 1);
  HOLDS(copy);
  if (bytes) memcpy(copy, data, bytes);
  return copy;
}

static void repair_records(char *data, size_t bytes)
{
  uint64_t length;
  for (size_t at = 0; at + 24 <= bytes; at += sizeof length + ((length + 7) & ~UINT64_C(7))) {
    memcpy(&length, data + at, sizeof length);
    if (length < 16 || length > bytes - at - sizeof length) return;
    checksum(data + at + sizeof length, (size_t)length);
  }
}

static int take_state(void *context, const epact_message *state)
{
  int *states = context;
  HOLDS(state->slot >= 0 && state->slot < SLOTS && (!state->blob_bytes || state->blob));
  ++*states;
  return EPACT_OK;
}

/* What was read is saved and read again. */
static void save_again(epact_shard *shard)
{
  epact_records part = { NULL, 0, 0, 0 };
  int code = epact_part_begin(&part, shard, CLOCK, RUN);
  if (!code) code = epact_part_end(&part, RUN);
  if (!code) code = epact_part_read(part.data, part.bytes, RUN, CLOCK, 0, &(epact_part_reader){ .shard = NULL });
  HOLDS(!code || code == EPACT_E_NOMEM || code == EPACT_E_LIMIT);
  epact_records_free(&part);
}

static int read_part(const char *data, size_t bytes)
{
  int states = 0;
  bool finished[SLOTS] = { false };
  epact_shard shard;
  HOLDS(!epact_shard_init(&shard, 0, 1, SLOTS, false));
  epact_shard_begin(&shard, CLOCK, 0);
  const epact_part_reader reader = {
    .shard = &shard, .state = take_state, .context = &states, .slots = SLOTS, .finished = finished
  };
  int code = epact_part_read(data, bytes, RUN, CLOCK, 0, &reader);
  if (!code) save_again(&shard);
  epact_shard_free(&shard);
  return code;
}

/* Two files, one after the other in the input. */
static int read_journals(const uint8_t *data, size_t bytes, size_t first, bool repair)
{
  epact_journal journal = { .run = RUN };
  bool keeps[EPACT_MAX_SLOTS] = { false };
  epact_shard shard;
  int states = 0, code = EPACT_OK;
  size_t cut = first < bytes ? first : bytes, whole;
  for (int rank = 0; rank < 2 && !code; rank++) {
    size_t length = rank ? bytes - cut : cut;
    char *copy = copy_of(rank ? data + cut : data, length);
    if (repair) repair_records(copy, length);
    code = epact_journal_add(&journal, copy, length, CLOCK, rank, &whole);
    HOLDS(whole <= length);
  }
  HOLDS(!epact_shard_init(&shard, 0, 1, SLOTS, false));
  epact_shard_begin(&shard, CLOCK, 0);
  if (!code) {
    const epact_part_reader reader = { .shard = &shard, .state = take_state, .context = &states, .slots = SLOTS };
    int64_t clock = epact_journal_clock(&journal, CLOCK, keeps);
    HOLDS(clock >= CLOCK && clock <= CLOCK + journal.entries);
    if (clock > CLOCK) code = epact_journal_replay(&journal, clock, &reader);
    if (!code) save_again(&shard);
  }
  epact_shard_free(&shard);
  epact_journal_free(&journal);
  return code;
}

static void repair_manifest(char *text, size_t bytes)
{
  size_t end = bytes > 13 ? bytes - 13 : bytes; /* "end 01234567\n" */
  char crc[10];
  if (end == bytes || memcmp(text + end, "end ", 4) != 0) return;
  snprintf(crc, sizeof crc, "%08x", epact_crc32c(0, text, end));
  memcpy(text + end + 4, crc, 8);
}

static int read_manifest(const char *text, size_t bytes)
{
  epact_manifest manifest;
  int code = epact_manifest_parse(text, bytes, &manifest);
  HOLDS(!code == (manifest.part != NULL));
  for (int rank = 0; !code && rank < manifest.processes; rank++)
    HOLDS(manifest.part[rank].first_slot >= 0 && manifest.part[rank].slots <= manifest.slots);
  free(manifest.part);
  return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
  fuzz_input input = { data, bytes };
  uint8_t choice = fuzz_byte(&input);
  bool repair = choice & 128;
  int code;
  if ((choice & 127) % 3 == 1) {
    size_t first = fuzz_byte(&input) * 8u;
    code = read_journals(input.at, input.left, first, repair);
  } else {
    bool part = (choice & 127) % 3 == 0;
    char *copy = copy_of(input.at, input.left);
    if (repair && part) repair_records(copy, input.left);
    if (repair && !part) repair_manifest(copy, input.left);
    code = part ? read_part(copy, input.left) : read_manifest(copy, input.left);
    free(copy);
  }
  HOLDS(code <= 0 && (!code || *epact_error_message()));
  return 0;
}

/* ---- inputs to begin with ---- */

static void write_seed(const char *folder, const char *name, int choice, int first, const void *data, size_t bytes)
{
  uint8_t *input = malloc(bytes + 2);
  HOLDS(input);
  size_t head = 1;
  input[0] = (uint8_t)choice;
  if (first >= 0) input[head++] = (uint8_t)(first / 8);
  memcpy(input + head, data, bytes);
  epact_fuzz_write(folder, name, input, bytes + head);
  free(input);
}

static const double values[] = { 1, 2 };
static const uint32_t starts[] = { 0, 2 }, cols[] = { 1, 4 };
static const int64_t row = 3;

static epact_schema schema_of(bool sparse)
{
  return (epact_schema){ .id = epact_table_id(sparse ? "s" : "t"),
                         .type = EPACT_F64,
                         .rows = sparse ? 0 : 5,
                         .cols = sparse ? 9 : 2,
                         .sparse = sparse,
                         .sparse_updates = sparse };
}

static epact_section section_of(const epact_schema *schema)
{
  epact_section section = {
    .table = schema->id, .type = schema->type, .cols = schema->cols, .rows = 1, .row = &row, .value = values
  };
  if (schema->sparse) {
    section.start = starts;
    section.col = cols;
  }
  return section;
}

static void seed_part(const char *folder)
{
  epact_shard shard;
  epact_records part = { NULL, 0, 0, 0 };
  HOLDS(!epact_shard_init(&shard, 0, 1, SLOTS, false));
  epact_shard_begin(&shard, CLOCK, 0);
  for (int sparse = 0; sparse < 2; sparse++) {
    epact_schema schema = schema_of(sparse);
    epact_section section = section_of(&schema);
    HOLDS(!epact_shard_table_put(epact_shard_make_table(&shard, sparse ? "s" : "t", &schema), &section));
  }
  shard.slot[1].applied = EPACT_FOREVER;
  HOLDS(!epact_part_begin(&part, &shard, CLOCK, RUN) && !epact_part_state(&part, 0, CLOCK, "mine", 4, RUN));
  HOLDS(!epact_part_last_state(&part, 1, 2, "last", 4, RUN) && !epact_part_end(&part, RUN));
  write_seed(folder, "part", 0, -1, part.data, part.bytes);
  epact_records_free(&part);
  epact_shard_free(&shard);
}

static void seed_journals(const char *folder)
{
  epact_records both = { NULL, 0, 0, 0 };
  int first = 0;
  for (int rank = 0; rank < 2; rank++) {
    epact_schema schema = schema_of(rank);
    epact_section section = section_of(&schema);
    const epact_message record[] = {
      { .kind = EPACT_M_SYNCED, .shard = rank, .slot = SLOTS, .clock = CLOCK, .incarnation = 3, .request = 2 },
      { .kind = EPACT_M_CREATE, .schema = &schema, .text = rank ? "s" : "t" },
      { .kind = EPACT_M_STATE, .slot = rank, .clock = CLOCK, .blob = "" },
      { .kind = EPACT_M_BATCH, .slot = 0, .clock = CLOCK, .sections = 1, .section = &section },
      { .kind = EPACT_M_BATCH, .slot = 1, .clock = CLOCK, .final = true },
      { .kind = EPACT_M_STATE, .slot = rank, .clock = CLOCK + 1, .final = rank, .blob = "at", .blob_bytes = 2 },
    };
    for (size_t i = 0; i < sizeof record / sizeof *record; i++) {
      epact_message m = record[i];
      if (!m.text) m.text = "";
      HOLDS(!epact_records_add(&both, &m, RUN));
    }
    if (!rank) first = (int)both.bytes;
  }
  write_seed(folder, "journals", 1, first, both.data, both.bytes);
  epact_records_free(&both);
}

static void seed_manifest(const char *folder)
{
  epact_part_file part[2] = { { 100, 1, 0, 1 }, { 200, 2, 1, 1 } };
  epact_manifest manifest = {
    .run = RUN, .life = 3, .clock = CLOCK, .every = 2, .shards = 2, .processes = 2, .slots = SLOTS, .part = part
  };
  size_t bytes;
  char *text = epact_manifest_text(&manifest, &bytes);
  HOLDS(text);
  write_seed(folder, "manifest", 128 + 2, -1, text, bytes);
  free(text);
}

void epact_fuzz_seed(const char *folder)
{
  seed_part(folder);
  seed_journals(folder);
  seed_manifest(folder);
}
