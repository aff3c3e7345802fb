/* Key files. A folder of keys holds
 *
 *   job.key         the secret key of the processes that read it; mode 0600
 *   job.pub         its public key, for other folders' `allowed`
 *   root.pub        optional: rank 0's public key, where its key is another than job.key
 *   allowed/N.pub   optional, any names: public keys of other processes that may take part
 *
 * Keys are text, 40 characters of Z85, one a line; a line that begins with # is a comment. */
#ifndef EPACT_PS_KEYS_H
#define EPACT_PS_KEYS_H

#include "../base/base.h"

#include <stdbool.h>

#define EPACT_KEY_BYTES 41 /* of a key as text, with its end */

typedef struct {
  char public_key[EPACT_KEY_BYTES], secret_key[EPACT_KEY_BYTES];
  char root[EPACT_KEY_BYTES];       /* rank 0's public key */
  char (*allowed)[EPACT_KEY_BYTES]; /* public keys, this process's own among them */
  int count;
} epact_keys;

/** Reads a folder. E_AUTH when the secret key can be read by others, E_IO, E_PARSE. */
int epact_keys_read(const char *folder, epact_keys **result);
bool epact_keys_allow(const epact_keys *keys, const char *public_key);
/** Overwrites the secret and frees. NULL is ignored. */
void epact_keys_free(epact_keys *keys);

#endif
