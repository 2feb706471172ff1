/* redis_wire.h -- commands as bytes (RESP), and what an error's text means.
 * Pure.
 */
#ifndef FILEMUX_STORE_REDIS_WIRE_H
#define FILEMUX_STORE_REDIS_WIRE_H

#include "gateway/base/buf.h"

#define REDIS_SHA1_HEX 40

/* A command of argc arguments, appended; each argument follows. */
void redis_wire_begin(struct buf *out, size_t argc);
void redis_wire_arg(struct buf *out, struct str s);

/* Is it an error that passes by itself or by an operator's hand: loading,
 * read-only, out of memory …, raised by a command or within a script? */
bool redis_wire_is_unavailable(struct str error);

#endif
