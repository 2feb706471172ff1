/* traceparent.h -- the header field of W3C Trace Context. Pure. */
#ifndef FILEMUX_CODEC_TRACEPARENT_H
#define FILEMUX_CODEC_TRACEPARENT_H

#include "gateway/base/str.h"

#define TRACEPARENT_STATE_BYTES 512 /* of a tracestate that is passed on */

/* Is it well-formed (section 3.2)? Then *trace_id is a view of its 32
 * characters. */
bool traceparent_parse(struct str field, struct str *trace_id) MUSTCHECK;
/* May this tracestate be passed on? */
bool traceparent_is_state(struct str field);

#endif
