#include "gateway/codec/id_set.h"

#include <stdlib.h>

#include "gateway/base/bug.h"

#define CAP_FIRST 256

/* --- SipHash-1-3 --- */

static uint64_t rotated(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotated(v[1], 13) ^ v[0];
    v[0] = rotated(v[0], 32);
    v[2] += v[3];
    v[3] = rotated(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotated(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotated(v[1], 17) ^ v[2];
    v[2] = rotated(v[2], 32);
}

static uint64_t hash(const struct id_set *s, struct str id)
{
    uint64_t v[4] = {
        s->key[0] ^ 0x736f6d6570736575,
        s->key[1] ^ 0x646f72616e646f6d,
        s->key[0] ^ 0x6c7967656e657261,
        s->key[1] ^ 0x7465646279746573,
    };
    uint64_t word;
    size_t i;

    for (i = 0; i + 8 <= id.n; i += 8) {
        memcpy(&word, id.p + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)id.n << 56;
    for (size_t k = 0; i + k < id.n; k++)
        word |= (uint64_t)(unsigned char)id.p[i + k] << 8 * k;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int k = 0; k < 3; k++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- the table: open addressing, at most half full --- */

/* Where the hash is, or would be. */
static uint64_t *slot_of(const struct id_set *s, uint64_t h)
{
    size_t i = h & (s->cap - 1);

    while (s->slots[i] && s->slots[i] != h)
        i = (i + 1) & (s->cap - 1);
    return &s->slots[i];
}

static void grow(struct id_set *s)
{
    struct id_set old = *s;

    s->cap = old.cap ? 2 * old.cap : CAP_FIRST;
    s->slots = xcalloc(s->cap, sizeof(s->slots[0]));
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i])
            *slot_of(s, old.slots[i]) = old.slots[i];
    free(old.slots);
}

void id_set_init(struct id_set *s, const uint64_t key[2])
{
    *s = (struct id_set){.key = {key[0], key[1]}};
}

void id_set_release(struct id_set *s)
{
    free(s->slots);
    s->slots = NULL;
    s->n = s->cap = 0;
}

bool id_set_add(struct id_set *s, struct str id)
{
    uint64_t h = hash(s, id), *slot;

    if (2 * s->n >= s->cap)
        grow(s);
    h = h ? h : 1;
    slot = slot_of(s, h);
    if (*slot)
        return false;
    *slot = h;
    s->n++;
    return true;
}
