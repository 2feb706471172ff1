/* golden.h -- cases as text files: what goes in, and what must come out.
 *
 * A case is a file of sections. What stands before the first is a comment:
 *
 *     what the case is about
 *     --- config
 *     …
 *     --- result
 *     …
 *
 * A runner reads its inputs by name and hands over what it got for each
 * output; a difference is printed and fails the case, as does a section that
 * nobody asked for. With GOLDEN_UPDATE=1 in the environment the outputs are
 * written into the file instead.
 *
 * In outputs and in values of keys bytes are written as they are, but for \r,
 * \t, \\ and \xNN; the body of a response is taken raw. A line's end is a line
 * feed, and the last one of a section belongs to the file's form.
 */
#ifndef FILEMUX_TESTS_GOLDEN_GOLDEN_H
#define FILEMUX_TESTS_GOLDEN_GOLDEN_H

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"

#define GOLDEN_SECTIONS_MAX 128

struct golden_section {
    struct str head; /* "request 1" */
    struct str text;
    bool is_used;
};

struct golden_case {
    struct arena *arena;
    const char *path;
    const char *dir; /* name of the directory it is in */
    struct str preamble;
    struct golden_section sections[GOLDEN_SECTIONS_MAX];
    size_t n;
    bool is_updated, has_failed;
};

/* Runs one case. */
typedef void golden_run(struct golden_case *c);

/* The arguments are case files, or directories of them. What main() returns. */
int golden_main(int argc, char **argv, golden_run *run);

/* An input: the section with that head, or STR_NULL. */
struct str golden_input(struct golden_case *c, const char *head);
/* The rest of the head of the first section that starts with the word, or "";
 * "config cluster" -> "cluster". */
const char *golden_name(struct golden_case *c, const char *word,
                        const char *dflt);
/* An output. Takes the text from the buffer and releases it. */
void golden_output(struct golden_case *c, const char *head, struct buf *text);
/* The case itself is wrong. */
void golden_fail(struct golden_case *c, const char *fmt, ...) PRINTFLIKE(2, 3);

/* Lines "key: value": the unescaped value of a key, or STR_NULL. */
struct str golden_value(struct golden_case *c, struct str lines,
                        const char *key);
/* The same as a number, or dflt. */
int64_t golden_number(struct golden_case *c, struct str lines, const char *key,
                      int64_t dflt);
void golden_escape(struct buf *out, struct str bytes);
struct str golden_unescape(struct golden_case *c, struct str text);
/* Everything up to the next line feed, which is taken off *rest too; false at
 * the end. */
bool golden_line(struct str *rest, struct str *line);

#endif
