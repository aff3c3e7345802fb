/* Scenes of a shard that chance seldom plays: batches repeated, early, late, after the last one, half
 * wrong; requests that wait or cannot be answered. What happens by chance is in simulator.c. */
#include "stage.h"

#include <math.h>

/* ---- batches ---- */

static void once_and_in_order(void)
{
  stage t;
  epact_section section = dense_row();
  open_stage(&t, 2, false);
  create_tables(&t);
  EXPECT(publish(&t, 0, 0, 1, &section)->kind == EPACT_M_ACK && t.heard.last.clock == 0, "a batch is acknowledged");
  publish(&t, 0, 0, 1, &section);
  EXPECT(cell(&t, "dense", 4, 1) == 2 && t.shard.duplicates == 1 && t.heard.last.clock == 0, "once");
  publish(&t, 0, 3, 1, &section);
  publish(&t, 0, 2, 1, &section);
  publish(&t, 0, 2, 1, &section);
  EXPECT(cell(&t, "dense", 4, 1) == 2 && t.heard.last.clock == 0, "what comes early waits");
  EXPECT(publish(&t, 0, 1, 1, &section)->clock == 3 && cell(&t, "dense", 4, 1) == 8, "and follows the missing one");
  EXPECT(t.shard.minimum == 0 && epact_shard_slowest(&t.shard) == 1, "the other worker holds the minimum back");
  EXPECT(publish(&t, 0, 4 + EPACT_STAGING_WINDOW, 0, NULL)->code == EPACT_E_CLOCK, "a jump is refused");
  EXPECT(publish(&t, 0, INT64_MAX, 0, NULL)->code == EPACT_E_CLOCK, "any jump");
  EXPECT(publish(&t, 0, INT64_MIN, 1, &section)->kind == EPACT_M_ACK && cell(&t, "dense", 4, 1) == 8, "no going back");
  close_stage(&t);
}

/* A final batch that fills a gap, while a later one (of a liar) waits behind it. */
static void nothing_after_the_last(void)
{
  stage t;
  epact_section section = dense_row();
  open_stage(&t, 1, false);
  create_tables(&t);
  publish(&t, 0, 1, 1, &section);
  say(&t, (epact_message){ .kind = EPACT_M_BATCH, .slot = 0, .clock = 0, .final = true });
  EXPECT(t.shard.minimum == EPACT_FOREVER && cell(&t, "dense", 4, 1) == 0, "nothing follows a final batch");
  publish(&t, 0, 2, 1, &section);
  EXPECT(cell(&t, "dense", 4, 1) == 0 && t.heard.last.kind == EPACT_M_ACK, "neither later");
  close_stage(&t);
}

static void refuse_whole(stage *t, int sections, const epact_section *section, int code, const char *what)
{
  const epact_message *answer = publish(t, 0, 0, sections, section);
  EXPECT(answer->kind == EPACT_M_REFUSED && answer->code == code, "%s: kind %d code %s: %s", what, answer->kind,
         epact_error_name(answer->code), answer->text);
  EXPECT(cell(t, "dense", 4, 0) == 0 && t->shard.slot[0].received == -1, "%s: nothing is applied", what);
}

/* The good section comes first: it must not be applied when the second is refused. */
static void whole_or_not_at_all(void)
{
  stage t;
  static const int64_t outside[] = { 10 }, same_row[] = { 3, 3 }, far[] = { 1, INT64_C(1) << 53 };
  static const uint32_t start[] = { 0, 1, 2 }, overlapping[] = { 0, 2, 1 }, late[] = { 1, 1, 2 }, both[] = { 0, 2, 2 };
  static const uint32_t col[] = { 5, 6 }, wide_col[] = { 5, 100 }, same_col[] = { 5, 5 };
  open_stage(&t, 2, false);
  create_tables(&t);
  epact_section cells = { sparse.id, EPACT_I64, 100, 2, one_two, start, col, one_two, 0 }, batch[2] = { dense_row() };
  struct {
    const char *what;
    int code;
    epact_section section;
  } bad[] = { { "an unknown table", EPACT_E_SCHEMA, cells },  { "another type", EPACT_E_SCHEMA, cells },
              { "another width", EPACT_E_SCHEMA, cells },     { "dense increments", EPACT_E_SCHEMA, cells },
              { "a row too far", EPACT_E_RANGE, cells },      { "a row twice", EPACT_E_PROTO, cells },
              { "a column too far", EPACT_E_RANGE, cells },   { "a column twice", EPACT_E_PROTO, cells },
              { "cells that overlap", EPACT_E_PROTO, cells }, { "cells that start late", EPACT_E_PROTO, cells },
              { "a table twice", EPACT_E_PROTO, batch[0] },   { "a dense row outside", EPACT_E_PROTO, batch[0] } };
  bad[0].section.table++;
  bad[1].section.type = EPACT_F64;
  bad[2].section.cols = 99;
  bad[3].section.start = NULL;
  bad[4].section.row = far;
  bad[5].section.row = same_row;
  bad[6].section.col = wide_col;
  bad[7].section.col = same_col;
  bad[7].section.start = both;
  bad[8].section.start = overlapping;
  bad[9].section.start = late;
  for (int i = 0; i < 11; i++) {
    batch[1] = bad[i].section;
    refuse_whole(&t, 2, batch, bad[i].code, bad[i].what);
  }
  bad[11].section.row = outside;
  refuse_whole(&t, 1, &bad[11].section, EPACT_E_RANGE, bad[11].what);
  batch[0].value = NULL;
  refuse_whole(&t, 1, batch, EPACT_E_SCHEMA, "row ids without values");
  EXPECT(t.shard.refused == 13, "%d refusals were counted", (int)t.shard.refused);
  batch[0] = dense_row();
  batch[1] = cells;
  EXPECT(publish(&t, 0, 0, 2, batch)->kind == EPACT_M_ACK && cell(&t, "dense", 4, 1) == 2, "the good batch is taken");
  close_stage(&t);
}

static void only_finite_numbers(void)
{
  stage t;
  open_stage(&t, 1, false);
  epact_schema schema = { .id = epact_table_id("f"), .type = EPACT_F64, .rows = 10, .cols = 2 };
  say(&t, (epact_message){ .kind = EPACT_M_CREATE, .schema = &schema, .text = "f" });
  double value[] = { 1, NAN };
  epact_section section = { schema.id, EPACT_F64, 2, 1, row_4, NULL, NULL, value, 0 };
  const epact_message *answer = publish(&t, 0, 0, 1, &section);
  EXPECT(answer->code == EPACT_E_NONFINITE && strstr(answer->text, "row 4, column 1"), "refused with its place: %s",
         answer->text);
  close_stage(&t);
}

/* Of encoded increments, too; an encoding that is none, or not of the type, is refused; cells come to dense rows. */
static void encoded_increments(void)
{
  stage t;
  open_stage(&t, 1, false);
  epact_schema schema = { .id = epact_table_id("f"), .type = EPACT_F32, .rows = 10, .cols = 2 };
  say(&t, (epact_message){ .kind = EPACT_M_CREATE, .schema = &schema, .text = "f" });
  static const int64_t falling[] = { 7, 4 };
  static const uint32_t start[] = { 0, 0, 2 }, col[] = { 0, 1 };
  static const uint16_t f16[] = { 0x3c00, 0xc000 }, bf16[] = { 0x3f80, 0xc000 }, nan16[] = { 0x3c00, 0x7e00 },
                        infinite[] = { 0x3f80, 0xff80 };
  epact_section f16_row = { schema.id, EPACT_F32, 2, 1, row_4, NULL, NULL, f16, EPACT_AS_F16 }, bad = f16_row;
  epact_section bf16_cells = { schema.id, EPACT_F32, 2, 2, falling, start, col, bf16, EPACT_AS_BF16 };
  bad.value = nan16;
  const epact_message *answer = publish(&t, 0, 0, 1, &bad);
  EXPECT(answer->code == EPACT_E_NONFINITE && strstr(answer->text, "row 4, column 1 is nan"), "f16: %s", answer->text);
  bad = bf16_cells;
  bad.value = infinite;
  answer = publish(&t, 0, 0, 1, &bad);
  EXPECT(answer->code == EPACT_E_NONFINITE && strstr(answer->text, "row 4, column 1 is -inf"), "bf16: %s",
         answer->text);
  for (int i = 0; i < 3; i++) {
    bad = f16_row;
    bad.encoding = i == 0 ? EPACT_AS_F32 : i == 1 ? 4 : -1;
    answer = publish(&t, 0, 0, 1, &bad);
    EXPECT(answer->code == EPACT_E_PROTO && strstr(answer->text, "unknown encoding"), "encoding %d: %s", bad.encoding,
           answer->text);
  }
  publish(&t, 0, 0, 1, &f16_row);
  EXPECT(publish(&t, 0, 1, 1, &bf16_cells)->kind == EPACT_M_ACK, "is taken: %s", t.heard.last.text);
  const epact_store *store = &epact_shard_find_table(&t.shard, schema.id)->store;
  const float *row = epact_store_values(store, epact_store_find(store, 4));
  EXPECT(row[0] == 2 && row[1] == -4, "and decoded: %g %g", row[0], row[1]);
  close_stage(&t);
}

static void given_up(void)
{
  stage t;
  epact_section section = dense_row();
  open_stage(&t, 1, false);
  create_tables(&t);
  say(&t, (epact_message){ .kind = EPACT_M_BATCH, .incarnation = 2, .clock = 0, .sections = 1, .section = &section });
  EXPECT(publish(&t, 0, 1, 1, &section)->code == EPACT_E_FENCED && cell(&t, "dense", 4, 1) == 2, "is fenced");
  int heard = t.heard.count;
  say(&t, (epact_message){ .kind = EPACT_M_BATCH, .slot = 1 });
  say(&t, (epact_message){ .kind = EPACT_M_READ, .slot = -1 });
  say(&t, (epact_message){ .kind = EPACT_M_STOP, .incarnation = 2 });
  EXPECT(t.heard.count == heard && t.shard.refused == 4, "who does not exist gets no answer");
  close_stage(&t);
}

static void same_name_other_shape(void)
{
  stage t;
  open_stage(&t, 1, false);
  create_tables(&t);
  epact_schema other = dense;
  other.cols = 3;
  const epact_message *answer = say(&t, (epact_message){ .kind = EPACT_M_CREATE, .schema = &other, .text = "dense" });
  EXPECT(answer->code == EPACT_E_SCHEMA &&
             !strcmp(answer->text, "table 'dense' is 10 x 2 i64 dense, not 10 x 3 i64 dense"),
         "says both shapes: %s", answer->text);
  close_stage(&t);
}

/* ---- requests ---- */

static void requests(void)
{
  stage t;
  static const int64_t ids[] = { 4, 10 };
  epact_section rows = { 0, EPACT_I64, 2, 1, ids, NULL, NULL, NULL, 0 };
  open_stage(&t, 2, false);
  create_tables(&t);
  epact_message read = {
    .kind = EPACT_M_READ, .table = dense.id, .request = 7, .clock = 1, .sections = 1, .section = &rows
  };
  int heard = t.heard.count;
  say(&t, read);
  read.request = 8;
  say(&t, read);
  EXPECT(t.heard.count == heard && t.shard.parked_count == 1, "a request asked again waits once");
  read.request = 7;
  say(&t, read);
  publish(&t, 0, 0, 0, NULL);
  publish(&t, 1, 0, 0, NULL);
  EXPECT(t.heard.rows == 1 && t.heard.last.kind == EPACT_M_ROWS && t.heard.last.request == 8 && t.heard.last.clock == 1,
         "the newest is answered when the minimum comes (got %u)", t.heard.last.request);
  rows.rows = 2;
  EXPECT(say(&t, read)->code == EPACT_E_RANGE, "a row outside is refused");
  read.table++;
  EXPECT(say(&t, read)->code == EPACT_E_SCHEMA, "an unknown table is refused");
  read.table = dense.id;
  read.sections = 0;
  EXPECT(say(&t, read)->code == EPACT_E_PROTO, "a read of nothing is refused");
  epact_message changes = { .kind = EPACT_M_CHANGES, .table = dense.id };
  EXPECT(say(&t, changes)->code == EPACT_E_SCHEMA, "changes that are not kept are refused");
  close_stage(&t);
}

/* Deterministic: a clock is applied when all have come, in the workers' order. */
static void clock_by_clock(void)
{
  stage t;
  epact_section section = dense_row();
  open_stage(&t, 3, true);
  create_tables(&t);
  publish(&t, 2, 0, 1, &section);
  publish(&t, 2, 1, 1, &section);
  publish(&t, 0, 0, 1, &section);
  EXPECT(cell(&t, "dense", 4, 1) == 0 && t.heard.last.clock == -1, "two of three: none is applied");
  say(&t, (epact_message){ .kind = EPACT_M_BATCH, .slot = 1, .final = true });
  EXPECT(cell(&t, "dense", 4, 1) == 4 && t.shard.minimum == 1, "clock 0");
  publish(&t, 0, 1, 1, &section);
  EXPECT(cell(&t, "dense", 4, 1) == 8 && t.shard.minimum == 2, "clock 1 without the one that finished");
  close_stage(&t);
}

int main(void)
{
  name_tables();
  once_and_in_order();
  nothing_after_the_last();
  whole_or_not_at_all();
  only_finite_numbers();
  encoded_increments();
  given_up();
  same_name_other_shape();
  requests();
  clock_by_clock();
  return failures != 0;
}
