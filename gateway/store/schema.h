/* schema.h -- every Redis key: its pattern, type, life and who writes it.
 *
 * All keys of one script share a hash tag (the braces), so Redis Cluster can
 * hold them. <owner> is struct vkey's owner; <ulid> are the last 26 characters
 * of an id.
 *
 * | key                                  | type   | holds                        | life            | written by  |
 * |--------------------------------------|--------|------------------------------|-----------------|-------------|
 * | fm:{o:<owner>}:f:<file id>           | string | file record, JSON            | until deleted   | file_store  |
 * | fm:{o:<owner>}:idx                   | zset 0 | "<ulid> <file id>": all      | with the record | file_store  |
 * | fm:{o:<owner>}:idx:p:<purpose>       | zset 0 | the same, of one purpose     | with the record | file_store  |
 * | fm:{o:<owner>}:idx:v:<provider>      | zset 0 | the same, of one provider    | with the record | file_store  |
 * | fm:{o:<owner>}:idx:pv:<purpose>:<provider> | zset 0 | both                   | with the record | file_store  |
 * | fm:{u:<provider>}:<upstream id>      | string | "<owner> <file id>"          | with the record | file_store  |
 * | fm:{keys}:<sha256>                   | string | virtual key, JSON            | until deleted   | key_store   |
 * | fm:{keys}:index                      | zset   | sha256, score created (s)    | with the key    | key_store   |
 * | fm:{keys}:alias                      | hash   | key_alias -> sha256          | with the key    | key_store   |
 * | fm:{journal}:entries                 | hash   | file id -> entry, JSON       | until cleared   | journal     |
 * | fm:{journal}:due                     | zset   | file id, score: lease end ms | until cleared   | journal     |
 * | fm:{journal}:sweeper                 | string | who sweeps                   | lease, 30 s     | journal     |
 *
 * The member of an index starts with the ULID, so that its byte order is the
 * order of time over all namespaces, and a page is ZRANGEBYLEX.
 */
#ifndef FILEMUX_STORE_SCHEMA_H
#define FILEMUX_STORE_SCHEMA_H

#define SCHEMA_FILE "fm:{o:%.*s}:f:%.*s"
#define SCHEMA_INDEX "fm:{o:%.*s}:idx"
#define SCHEMA_INDEX_PURPOSE "fm:{o:%.*s}:idx:p:%.*s"
#define SCHEMA_INDEX_PROVIDER "fm:{o:%.*s}:idx:v:%.*s"
#define SCHEMA_INDEX_BOTH "fm:{o:%.*s}:idx:pv:%.*s:%.*s"
#define SCHEMA_UPSTREAM "fm:{u:%s}:%.*s"
#define SCHEMA_KEY "fm:{keys}:%s"
#define SCHEMA_KEY_INDEX "fm:{keys}:index"
#define SCHEMA_KEY_ALIAS "fm:{keys}:alias"
#define SCHEMA_JOURNAL "fm:{journal}:entries"
#define SCHEMA_JOURNAL_DUE "fm:{journal}:due"
#define SCHEMA_SWEEPER "fm:{journal}:sweeper"

#endif
