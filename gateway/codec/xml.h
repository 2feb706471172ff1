/* xml.h -- the flat XML that object stores send, element by element.
 *
 * No tree is built: an element is a view of what stands between its tags, and
 * its children are taken off that view one after the other. What such answers
 * do not need -- document types, so entities of one's own, too -- counts as
 * broken. Comments and what begins with <? are skipped; prefixes of namespaces
 * stay part of a name. Pure, linear, without recursion.
 *
 *     struct str rest = body, name, inner;
 *     while (xml_next(&rest, &name, &inner))
 *         if (str_eq(name, STR("Key")))
 *             key = xml_text(a, inner);
 */
#ifndef FILEMUX_CODEC_XML_H
#define FILEMUX_CODEC_XML_H

#include "gateway/base/arena.h"

/* Take the next element off the siblings in *rest; text between them is
 * skipped. False at their end, and where the XML is broken or cut off. */
bool xml_next(struct str *rest, struct str *name, struct str *inner) MUSTCHECK;
/* What stands in the first child of that name, or STR_NULL. */
struct str xml_child(struct str inner, struct str name);
/* The characters of an element without children: &lt; &gt; &amp; &quot; &apos;
 * and numbers are replaced. STR_NULL if there is something else in it. */
struct str xml_text(struct arena *a, struct str inner) MUSTCHECK;
/* Both of these: the text of a child, "" when there is none. */
struct str xml_child_text(struct arena *a, struct str inner, struct str name);
/* A text as it is written. */
struct str xml_escaped(struct arena *a, struct str text) MUSTCHECK;

#endif
