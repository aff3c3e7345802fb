/* CRC32C, polynomial 0x1EDC6F41 reflected: SSE4.2 where the processor has it, else slicing by 8. The
 * instruction gives 8 bytes in 3 cycles, but begins another each cycle: long data is cut into three lanes. */
#include "internal.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL UINT32_C(0x82f63b78)
#define LANE ((size_t)8192)               /* bytes */
#define SHIFT_1_LANE UINT32_C(0x28461564) /* x^(8 LANE) modulo the polynomial */
#define SHIFT_2_LANES UINT32_C(0xbf455269)
#define COPIED ((size_t)32 << 10) /* bytes that are copied and then read again, from the cache */

static uint32_t table[8][256];

static void make_table(void)
{
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (POLYNOMIAL & (0U - (crc & 1)));
    table[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; byte++) {
    for (int slice = 1; slice < 8; slice++) {
      uint32_t previous = table[slice - 1][byte];
      table[slice][byte] = (previous >> 8) ^ table[0][previous & 255];
    }
  }
}

static uint32_t crc_portable(uint32_t crc, const unsigned char *data, size_t bytes)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_table);
  for (; bytes >= 8; bytes -= 8, data += 8) {
    crc ^= (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
    crc = table[7][crc & 255] ^ table[6][crc >> 8 & 255] ^ table[5][crc >> 16 & 255] ^ table[4][crc >> 24] ^
          table[3][data[4]] ^ table[2][data[5]] ^ table[1][data[6]] ^ table[0][data[7]];
  }
  while (bytes--) crc = (crc >> 8) ^ table[0][(crc ^ *data++) & 255];
  return crc;
}

/* a b modulo the polynomial; the bit of x^k is 31 - k. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
  uint32_t product = 0;
  for (uint32_t bit = UINT32_C(1) << 31; a; bit >>= 1) {
    if (a & bit) product ^= b;
    a &= ~bit;
    b = (b >> 1) ^ (POLYNOMIAL & (0U - (b & 1)));
  }
  return product;
}

uint32_t epact_crc32c_join(uint32_t first, uint32_t second, size_t bytes)
{
  uint32_t shift = UINT32_C(1) << 31, power = UINT32_C(1) << 23; /* x^0, x^8 */
  for (; bytes; bytes >>= 1) {
    if (bytes & 1) shift = multiply(shift, power);
    power = multiply(power, power);
  }
  return multiply(shift, first) ^ second;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_lane(uint32_t crc, const unsigned char *data, size_t bytes)
{
  uint64_t wide = crc;
  for (; bytes >= 8; bytes -= 8, data += 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  crc = (uint32_t)wide;
  while (bytes--) crc = __builtin_ia32_crc32qi(crc, *data++);
  return crc;
}

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const unsigned char *data, size_t bytes)
{
  for (; bytes >= 3 * LANE; bytes -= 3 * LANE, data += 3 * LANE) {
    uint64_t lane[3] = { crc, 0, 0 };
    for (size_t at = 0; at < LANE; at += 8) {
      uint64_t word[3];
      for (size_t i = 0; i < 3; i++) memcpy(&word[i], data + i * LANE + at, 8);
      for (size_t i = 0; i < 3; i++) lane[i] = __builtin_ia32_crc32di(lane[i], word[i]);
    }
    crc = multiply(SHIFT_2_LANES, (uint32_t)lane[0]) ^ multiply(SHIFT_1_LANE, (uint32_t)lane[1]) ^ (uint32_t)lane[2];
  }
  return crc_lane(crc, data, bytes);
}
#endif

uint32_t epact_crc32c(uint32_t crc, const void *data, size_t bytes)
{
  crc = ~crc;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ~crc_sse42(crc, data, bytes);
#endif
  return ~crc_portable(crc, data, bytes);
}

uint32_t epact_crc32c_copy(uint32_t crc, void *target, const void *source, size_t bytes)
{
  for (size_t at = 0; at < bytes; at += COPIED) {
    size_t piece = bytes - at < COPIED ? bytes - at : COPIED;
    memcpy((char *)target + at, (const char *)source + at, piece);
    crc = epact_crc32c(crc, (char *)target + at, piece);
  }
  return crc;
}
