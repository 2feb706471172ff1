/* schema.h -- every Redis key: its pattern, type, life and who writes it.
 *
 * All keys of one script share a hash tag (the braces), so Redis Cluster can
 * hold them: the files of an owner have one; keys, teams, quotas and journal
 * have one together. <owner> is struct vkey's owner; <scope> is whom quotas
 * are charged to ("k:<key id>", "t:<team id>", "p:<provider>", "all"); <day>
 * counts from 1970-01-01, UTC; <ulid> are the last 26 characters of an id.
 *
 * In what stands for a <part> of an owner's or a provider's keys, the bytes
 * { } % come as %7B %7D %25, so that no part can move the tag or look like
 * another key. Behind {gw} the last part stands as it is: nothing follows it
 * that it could be taken for, and scripts can append it.
 */
/* clang-format off */
/*  key                                        type    holds                                life             written by
 *
 *  fm:{o:<owner>}:f:<file id>                 string  file record, JSON                    until deleted    file_store
 *  fm:{o:<owner>}:idx                         zset 0  "<ulid> <file id>": all              with the record  file_store
 *  fm:{o:<owner>}:idx:p:<purpose>             zset 0  the same, of one purpose             with the record  file_store
 *  fm:{o:<owner>}:idx:v:<provider>            zset 0  the same, of one provider            with the record  file_store
 *  fm:{o:<owner>}:idx:pv:<purpose>:<provider> zset 0  both                                 with the record  file_store
 *  fm:{u:<provider>}:<upstream id>            string  "<owner> <file id>"                  with the record  file_store
 *  fm:{o:<owner>}:b:<batch id>                string  batch record, JSON                    batches.keep     batch_store
 *  fm:{o:<owner>}:bidx                        zset 0  "<ulid> <batch id>": all             with the record  batch_store
 *  fm:{o:<owner>}:bidx:v:<provider>           zset 0  the same, of one provider            with the record  batch_store
 *  fm:{o:<owner>}:u:<upload id>               hash    record, state, bytes, stored, ends,
 *                                                     lease, file                          UPLOAD_KEPT_MS   upload_store
 *  fm:{o:<owner>}:up:<upload id>              hash    part id -> "<bytes> <upstream id>"   with the upload  upload_store
 *  fm:{o:<owner>}:uw:<upload id>              hash    part id -> "<until ms> <bytes>
 *                                                     <object>": those under way           with the upload  upload_store
 *  fm:{o:<owner>}:x:<object id>               string  kind and provider of what a provider
 *                                                     keeps for its maker, JSON            forward.object_life object_store
 *  fm:{o:<owner>}:kidx:<kind>                 zset 0  "<ulid> <id>": all of a kind         with the record  kept_store
 *  fm:{o:<owner>}:kidx:<kind>:<provider>      zset 0  the same, of one provider            with the record  kept_store
 *
 *  fm:{expiry}                                zset    "<owner> <file id>", score it ends (s) with the record  expiry
 *
 *  fm:{gw}:key:<sha256>                       string  virtual key, JSON                    until deleted    key_store
 *  fm:{gw}:keys                               zset    sha256, score created (s)            with the key     key_store
 *  fm:{gw}:keys:t:<team id>                   zset    the same, of one team                with the key     key_store
 *  fm:{gw}:keys:u:<user id>                   zset    the same, of one user                with the key     key_store
 *  fm:{gw}:alias                              hash    key_alias -> sha256                  with the key     key_store
 *  fm:{gw}:team:<team id>                     string  team, JSON                           until deleted    team_store
 *  fm:{gw}:teams                              zset    team id, score created (s)           with the team    team_store
 *
 *  fm:{gw}:entries                            hash    file id -> entry, JSON               until cleared    journal, quota
 *  fm:{gw}:tries                              hash    file id -> sweeps that tried         with the entry   journal
 *  fm:{gw}:sweeper                            string  who sweeps                           lease, 30 s      journal
 *  fm:{gw}:due                                zset    id, score: lease end ms              with entry, hold journal, quota
 *  fm:{gw}:holds                              hash    id -> what it holds, MessagePack     until it ends    quota, key_store
 *  fm:{gw}:counted                            hash    file id -> bytes, scopes: the same   with the file    quota
 *  fm:{gw}:gone:<file id>                     string  "": the file was deleted                 an hour          quota
 *  fm:{gw}:batches                            hash    batch id -> lines, scopes: the same  until it is over batch_quota
 *  fm:{gw}:watch                              zset    "<owner> <batch id>", score: when to
 *                                                     look at it (ms)                      with the record  batch_quota
 *  fm:{gw}:use:<scope>                        hash    files, bytes, held_files, held_bytes,
 *                                                     slots (requests under way), batches  for ever         quota, key_store,
 *                                                                                                           batch_quota
 *  fm:{gw}:day:<day>:<scope>                  hash    requests, errors, up, down,
 *                                                     held_up, held_down, lines            QUOTA_DAYS       quota, batch_quota
 *  fm:{gw}:days:<day>                         zset 0  the scopes that have that day        QUOTA_DAYS       quota
 *  fm:{gw}:rpm:<scope>                        list    times of requests, ms                120 s            key_store
 */
/* clang-format on */

/* The member of an index starts with the ULID, so that its byte order is the
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
#define SCHEMA_BATCH "fm:{o:%}:b:%"
#define SCHEMA_BATCH_INDEX "fm:{o:%}:bidx"
#define SCHEMA_BATCH_PROVIDER "fm:{o:%}:bidx:v:%"
#define SCHEMA_UPLOAD "fm:{o:%}:u:%"
#define SCHEMA_UPLOAD_PARTS "fm:{o:%}:up:%"
#define SCHEMA_UPLOAD_UNDER_WAY "fm:{o:%}:uw:%"
#define SCHEMA_OBJECT "fm:{o:%}:x:%"
#define SCHEMA_KEPT_INDEX "fm:{o:%}:kidx:%"
#define SCHEMA_KEPT_PROVIDER "fm:{o:%}:kidx:%:%"
#define SCHEMA_UPSTREAM "fm:{u:%}:%"
/* What all that begin with {gw} do; scripts/include/counters.lua knows the
 * names behind it of what it counts. */
#define SCHEMA_GATEWAY "fm:{gw}:"
/* Behind the ones that end in a colon comes the last part, as it is. */
#define SCHEMA_KEY "fm:{gw}:key:"
#define SCHEMA_KEY_INDEX "fm:{gw}:keys"
#define SCHEMA_KEY_TEAM "fm:{gw}:keys:t:"
#define SCHEMA_KEY_USER "fm:{gw}:keys:u:"
#define SCHEMA_KEY_ALIAS "fm:{gw}:alias"
#define SCHEMA_TEAM "fm:{gw}:team:"
#define SCHEMA_TEAM_INDEX "fm:{gw}:teams"
#define SCHEMA_JOURNAL "fm:{gw}:entries"
#define SCHEMA_JOURNAL_TRIES "fm:{gw}:tries"
#define SCHEMA_SWEEPER "fm:{gw}:sweeper"
#define SCHEMA_DUE "fm:{gw}:due"
#define SCHEMA_HOLDS "fm:{gw}:holds"
#define SCHEMA_COUNTED "fm:{gw}:counted"
#define SCHEMA_USE "fm:{gw}:use:"
#define SCHEMA_EXPIRY "fm:{expiry}"

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

/* Background jobs, of one tag with keys and quotas. Behind what ends in a colon
 * comes the job's id, as it is. */
/* clang-format off */
/*  key                   type    holds                                    life           written by
 *
 *  fm:{gw}:job:<id>      string  job, JSON                                JOB_DAYS       job_store
 *  fm:{gw}:jobs          zset 0  the ids of all                           JOB_DAYS       job_store
 *  fm:{gw}:jobs:open     zset    those not over, score: next step is due  until over     job_store
 *  fm:{gw}:jobs:runner   string  who runs them                            lease, 10 s    job_store
 *  fm:{gw}:report:<id>   list    what was found, JSON                     JOB_DAYS       job_store
 *  fm:{gw}:todo:<id>     list    what is left to do with it, JSON         until over     job_store
 *  fm:{gw}:audit:<id>    set     counted files whose record is not found  a day          audit
 *  fm:{gw}:scopes:<id>   set     scopes to be checked                     a day          audit
 */
/* clang-format on */
#define SCHEMA_JOB "fm:{gw}:job:"
#define SCHEMA_JOBS "fm:{gw}:jobs"
#define SCHEMA_JOBS_OPEN "fm:{gw}:jobs:open"
#define SCHEMA_JOBS_RUNNER "fm:{gw}:jobs:runner"
#define SCHEMA_JOB_REPORT "fm:{gw}:report:"
#define SCHEMA_JOB_TODO "fm:{gw}:todo:"
#define SCHEMA_AUDIT "fm:{gw}:audit:"
#define SCHEMA_AUDIT_SCOPES "fm:{gw}:scopes:"

#endif
