#include "gateway/store/redis_wire.h"

#define DIGITS 20

static void put_count(struct buf *out, char mark, size_t n)
{
    char text[DIGITS + 3];
    size_t at = sizeof(text);

    text[--at] = '\n';
    text[--at] = '\r';
    do {
        text[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    text[--at] = mark;
    buf_add(out, text + at, sizeof(text) - at);
}

void redis_wire_begin(struct buf *out, size_t argc)
{
    put_count(out, '*', argc);
}

void redis_wire_arg(struct buf *out, struct str s)
{
    put_count(out, '$', s.n);
    buf_add_str(out, s);
    buf_add(out, "\r\n", 2);
}

static const char *const passing[] = {
    "LOADING", "READONLY",   "MASTERDOWN", "OOM",         "BUSY",
    "MISCONF", "NOREPLICAS", "TRYAGAIN",   "CLUSTERDOWN",
};

/* Redis 7 starts with the word wherever it was raised; Redis 6 wraps what a
 * script met: "ERR Error running script (…): @user_script:1: -OOM …". */
bool redis_wire_is_unavailable(struct str error)
{
    struct str word, mark = STR(": -"), at = error;
    const char *found;
    size_t i;

    found = memmem(error.p, error.n, mark.p, mark.n);
    if (found && str_starts(error, STR("ERR "))) {
        at.p = found + mark.n;
        at.n = (size_t)(error.p + error.n - at.p);
    }
    str_cut(at, ' ', &word, &at);
    for (i = 0; i < COUNTOF(passing); i++)
        if (str_eq_c(word, passing[i]))
            return true;
    return false;
}
