/* schema.h -- every Redis key: its pattern, type, life and who writes it.
 *
 * All keys of one script share a hash tag (the braces), so Redis Cluster can
 * hold them. <owner> is struct vkey's owner; <ulid> are the last 26 characters
 * of an id. In what stands for a <part>, the bytes { } % come as %7B %7D %25,
 * so that no part can move the tag or look like another key.
 *
 * clang-format off
 * | key                                  | type   | holds | life            |
 * written by  |
 * |--------------------------------------|--------|------------------------------|-----------------|-------------|
 * | fm:{o:<owner>}:f:<file id>           | string | file record, JSON | until
 * deleted   | file_store  | | fm:{o:<owner>}:idx                   | zset 0 |
 * "<ulid> <file id>": all      | with the record | file_store  | |
 * fm:{o:<owner>}:idx:p:<purpose>       | zset 0 | the same, of one purpose |
 * with the record | file_store  | | fm:{o:<owner>}:idx:v:<provider>      | zset
 * 0 | the same, of one provider    | with the record | file_store  | |
 * fm:{o:<owner>}:idx:pv:<purpose>:<provider> | zset 0 | both | with the record
 * | file_store  | | fm:{u:<provider>}:<upstream id>      | string | "<owner>
 * <file id>"          | with the record | file_store  | | fm:{keys}:<sha256> |
 * string | virtual key, JSON            | until deleted   | key_store   | |
 * fm:{keys}:index                      | zset   | sha256, score created (s) |
 * with the key    | key_store   | | fm:{keys}:alias                      | hash
 * | key_alias -> sha256          | with the key    | key_store   | |
 * fm:{journal}:entries                 | hash   | file id -> entry, JSON |
 * until cleared   | journal     | | fm:{journal}:due                     | zset
 * | file id, score: lease end ms | until cleared   | journal     | |
 * fm:{journal}:tries                   | hash   | file id -> sweeps that tried
 * | until cleared   | journal     | | fm:{journal}:sweeper                 |
 * string | who sweeps                   | lease, 30 s     | journal     |
 * clang-format on
 *
 * The member of an index starts with the ULID, so that its byte order is the
 * order of time over all namespaces, and a page is ZRANGEBYLEX. Times in the
 * journal are Redis's own clock: the processes' may differ.
 */
#ifndef FILEMUX_STORE_SCHEMA_H
#define FILEMUX_STORE_SCHEMA_H

#include "gateway/base/arena.h"

/* A % is a part, filled in by schema_key(). */
#define SCHEMA_FILE "fm:{o:%}:f:%"
#define SCHEMA_INDEX "fm:{o:%}:idx"
#define SCHEMA_INDEX_PURPOSE "fm:{o:%}:idx:p:%"
#define SCHEMA_INDEX_PROVIDER "fm:{o:%}:idx:v:%"
#define SCHEMA_INDEX_BOTH "fm:{o:%}:idx:pv:%:%"
#define SCHEMA_UPSTREAM "fm:{u:%}:%"
#define SCHEMA_KEY "fm:{keys}:%"
#define SCHEMA_KEY_INDEX "fm:{keys}:index"
#define SCHEMA_KEY_ALIAS "fm:{keys}:alias"
#define SCHEMA_JOURNAL "fm:{journal}:entries"
#define SCHEMA_JOURNAL_DUE "fm:{journal}:due"
#define SCHEMA_JOURNAL_TRIES "fm:{journal}:tries"
#define SCHEMA_SWEEPER "fm:{journal}:sweeper"

/* The key of a pattern, its parts (struct str) in order. */
#define schema_key(arena, pattern, ...)                                        \
    schema_fill((arena), (pattern), (const struct str[]){__VA_ARGS__},         \
                sizeof((const struct str[]){__VA_ARGS__}) /                    \
                    sizeof(struct str))
struct str schema_fill(struct arena *a, const char *pattern,
                       const struct str *parts, size_t n) MUSTCHECK;

/* The index of an owner's files with that purpose and provider; STR_NULL is
 * any. */
struct str schema_index(struct arena *a, struct str owner, struct str purpose,
                        struct str provider) MUSTCHECK;
/* The member of a file in its indexes. */
struct str schema_member(struct arena *a, struct str id) MUSTCHECK;

#endif
