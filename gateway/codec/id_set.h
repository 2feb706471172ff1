/* id_set.h -- were these bytes here before? A set of hashes of 64 bits.
 *
 * Holds no ids, so its memory depends on their number alone: at most 32 bytes
 * each. Two different ids are taken for the same with a probability of
 * n² / 2^65, one in 15 billion for 50,000 of them; as the hash (SipHash-1-3)
 * has a random key, nobody can choose ids that collide. One thread.
 */
#ifndef FILEMUX_CODEC_ID_SET_H
#define FILEMUX_CODEC_ID_SET_H

#include "gateway/base/str.h"

struct id_set {
    uint64_t *slots; /* owned; 0: free */
    size_t n, cap;   /* cap: a power of two, or 0 */
    uint64_t key[2];
};

/* Starts empty, no memory taken. The key is random bytes. */
void id_set_init(struct id_set *s, const uint64_t key[2]);
void id_set_release(struct id_set *s);
/* False: it was there. The caller bounds how many there are. */
bool id_set_add(struct id_set *s, struct str id) MUSTCHECK;

#endif
