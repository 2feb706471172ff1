/* mime.h -- writes multipart/form-data around a stream.
 *
 * The form that every provider accepts: scalar fields first, the file last,
 * always with a Content-Type, no preamble, no epilogue. The boundary is handed
 * in. Names and filenames are escaped as HTML forms do (" is %22, CR %0D, LF
 * %0A). Pure.
 */
#ifndef FILEMUX_CODEC_MIME_H
#define FILEMUX_CODEC_MIME_H

#include "gateway/base/buf.h"

/* A value that holds the boundary at the start of a line would add parts of
 * its own: it is written as an empty one. */
void mime_add_field(struct buf *out, struct str boundary, struct str name,
                    struct str value);
/* The file part's headers up to and including the blank line. A
 * content_type that is empty, or would break the line, is written as
 * application/octet-stream. */
void mime_open_file(struct buf *out, struct str boundary, struct str name,
                    struct str filename, struct str content_type);
/* What ends the file's data and the form. */
void mime_close(struct buf *out, struct str boundary);

#endif
