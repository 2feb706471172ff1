/* ui.c -- the web page at /ui: the files of gateway/ui, embedded.
 *
 * They hold no data: the page asks the API for everything, with the key that
 * is typed into it, so anybody may fetch them. A page in which a master key is
 * typed must run nothing else: the policy allows the page's own files alone,
 * no text becomes markup or code, and no other site may frame it.
 */
#include "gateway/api/api.h"

struct ui_file {
    const char *name, *type;
    const unsigned char *bytes;
    size_t n;
};

#include "ui_files.h"

/* clang-format off */
static const struct {
    const char *name, *value;
} guards[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; "
     "img-src 'self'; connect-src 'self'; base-uri 'none'; "
     "form-action 'none'; frame-ancestors 'none'; "
     "require-trusted-types-for 'script'; trusted-types 'none'"},
    {"X-Content-Type-Options",       "nosniff"},
    {"X-Frame-Options",              "DENY"},
    {"Referrer-Policy",              "no-referrer"},
    {"Cross-Origin-Opener-Policy",   "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    /* The files are small, and belong to the program that answers. */
    {"Cache-Control",                "no-store"},
};
/* clang-format on */

static void serve(struct txn *t, const struct ui_file *file)
{
    struct http_fields f = {0};

    txn_fields(t, &f, str_of(file->type));
    for (size_t i = 0; i < COUNTOF(guards); i++)
        http_fields_add(&f, t->arena, str_of(guards[i].name),
                        str_of(guards[i].value));
    txn_reply(t, 200, &f, str_make((const char *)file->bytes, file->n));
}

static void serve_name(struct txn *t, struct str name)
{
    for (size_t i = 0; i < COUNTOF(ui_files); i++) {
        if (str_eq_c(name, ui_files[i].name)) {
            serve(t, &ui_files[i]);
            return;
        }
    }
    txn_fail_plain(t, GW_UNKNOWN_ROUTE);
}

void ui_page(struct txn *t)
{
    serve_name(t, STR("index.html"));
}

void ui_part(struct txn *t)
{
    serve_name(t, t->param);
}
