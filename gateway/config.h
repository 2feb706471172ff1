/* config.h -- the configuration file: its keys, its load, its printing. */
#ifndef FILEMUX_CONFIG_H
#define FILEMUX_CONFIG_H

#include "gateway/flow/settings.h"

/* The file as a snapshot with one reference, or NULL and one line per fault in
 * `faults` ("file:line:column: what is wrong"). file NULL: the embedded
 * defaults. */
struct settings *config_load(const char *file, struct buf *faults) MUSTCHECK;

/* config.example.yaml: every key with its default and what it means. */
void config_print(struct buf *out);

#endif
