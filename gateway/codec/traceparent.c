#include "gateway/codec/traceparent.h"

/* version "-" trace-id "-" parent-id "-" flags, all lower-case hex; a later
 * version may go on behind another dash. */
#define ID_AT 3
#define ID_CHARS 32
#define PARENT_AT 36
#define PARENT_CHARS 16
#define FLAGS_AT 53
#define ALL_CHARS 55

/* Hex digits in lower case, not all of them 0 unless zeros are fine. */
static bool is_hex(struct str s, bool zeros_are_fine)
{
    bool is_zero = true;

    for (size_t i = 0; i < s.n; i++) {
        bool is_digit = s.p[i] >= '0' && s.p[i] <= '9';

        if (!is_digit && !(s.p[i] >= 'a' && s.p[i] <= 'f'))
            return false;
        is_zero = is_zero && s.p[i] == '0';
    }
    return zeros_are_fine || !is_zero;
}

static bool has_dashes(struct str s)
{
    return s.p[ID_AT - 1] == '-' && s.p[PARENT_AT - 1] == '-' &&
           s.p[FLAGS_AT - 1] == '-';
}

bool traceparent_parse(struct str field, struct str *trace_id)
{
    struct str version;

    if (field.n < ALL_CHARS || field.n > TRACEPARENT_STATE_BYTES ||
        !has_dashes(field))
        return false;
    version = str_make(field.p, 2);
    if (!is_hex(version, true) || str_eq(version, STR("ff")) ||
        (str_eq(version, STR("00")) && field.n != ALL_CHARS) ||
        (field.n > ALL_CHARS && field.p[ALL_CHARS] != '-'))
        return false;
    *trace_id = str_make(field.p + ID_AT, ID_CHARS);
    return is_hex(*trace_id, false) &&
           is_hex(str_make(field.p + PARENT_AT, PARENT_CHARS), false) &&
           is_hex(str_make(field.p + FLAGS_AT, 2), true) &&
           traceparent_is_state(field);
}

bool traceparent_is_state(struct str field)
{
    for (size_t i = 0; i < field.n; i++)
        if (field.p[i] < ' ' || field.p[i] > '~')
            return false;
    return field.n > 0 && field.n <= TRACEPARENT_STATE_BYTES;
}
