/* Every call that can fail does, one after the other: `make faults`. `faults SCENES...` plays some (columns, files,
 * lasso, readers, scheduler, snapshots, jobs); VERBOSE=1 prints each fault and what was said about it; EVERY=1 leaves
 * out none of those that take long. */
#include "columns.h"
#include "files.h"
#include "job.h"
#include "lasso.h"
#include "readers.h"
#include "scheduler.h"
#include "snapshots.h"

static bool wanted(int count, char **names, const char *name)
{
  for (int i = 1; i < count; i++) {
    if (!strcmp(names[i], name)) return true;
  }
  return count < 2;
}

int main(int count, char **names)
{
  char folder[] = "/tmp/epact-faults-XXXXXX", command[64];
  verbose = getenv("VERBOSE") != NULL;
  every = getenv("EVERY") != NULL;
  if (!mkdtemp(folder) || chdir(folder)) {
    perror("faults: no temporary folder");
    return 1;
  }
  if (wanted(count, names, "columns")) play_columns();
  if (wanted(count, names, "files")) play_files();
  if (wanted(count, names, "readers")) play_readers();
  if (wanted(count, names, "lasso")) play_lasso();
  if (wanted(count, names, "scheduler")) play_scheduler();
  if (wanted(count, names, "snapshots")) play_snapshots();
  if (wanted(count, names, "jobs")) play_jobs();
  snprintf(command, sizeof command, "rm -rf %s", folder);
  if (system(command)) perror("faults: the temporary folder is left");
  printf("faults: %" PRId64 " played, %d failures\n", faults_played, failures);
  return failures != 0;
}
