/* Rows of plain decimal numbers, as read/plain.py takes them: each number to the double nearest to it, as Python reads it.

A number's digits make a whole number m below 10^19, and the number is m 10^e. Where both m and the power are doubles
(m up to 2^53, e from -22 to 22), one product or quotient is rounded correctly (Clinger 1990); where m is longer and e is
from -19 to -1, 128 bits are divided and rounded; what is left is rare, and is asked of Python. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define MOST_DIGITS 19 /* below 2^64 */
#define MOST_WHOLE 18  /* digits of a time, below 2^63 */
#define MOST_EXPONENT 9999

enum { TIME = -1 };                   /* places of columns that are no channel; any other below 0: not read */
enum { UNSURE = 0, WHOLE = 1, TEXT = 2 };

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* m / 10^k, rounded to the nearest double, to the even one of two; m is not 0, k from 1 to 19. */
static double quotient(uint64_t m, int k) {
    uint64_t power = 1;
    for (int at = 0; at < k; at++) power *= 10;
    int shift = __builtin_clzll(m), power_shift = __builtin_clzll(power);
    unsigned __int128 dividend = (unsigned __int128)(m << shift) << 63;
    power <<= power_shift;
    uint64_t whole = (uint64_t)(dividend / power); /* 63 or 64 bits: 10 or 11 more than a double's */
    uint64_t is_more = dividend % power != 0;
    int spare = 11 - __builtin_clzll(whole);
    uint64_t half = UINT64_C(1) << (spare - 1), rest = whole & (2 * half - 1), kept = whole >> spare;
    kept += rest > half || (rest == half && (is_more || (kept & 1)));
    return ldexp((double)kept, spare + power_shift - shift - 63);
}

INLINE int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

INLINE const char *digits(const char *p, uint64_t *m) {
    for (; is_digit(*p); p++) *m = *m * 10 + (uint64_t)(*p - '0');
    return p;
}

/* Read a number; returns what is behind it, or NULL if it is none. `is_rare`: Python is to read it. */
INLINE const char *number(const char *p, double *value, int *is_rare) {
    int is_negative = *p == '-';
    p += is_negative || *p == '+';
    const char *begin = p;
    uint64_t m = 0;
    p = digits(p, &m);
    long count = p - begin, exponent = 0;
    if (*p == '.') {
        const char *point = p;
        p = digits(p + 1, &m);
        exponent = point + 1 - p;
        count -= exponent;
    }
    if (count == 0) return NULL;
    if (*p == 'e' || *p == 'E') {
        int is_small = *++p == '-';
        p += is_small || *p == '+';
        if (!is_digit(*p)) return NULL;
        long power = 0;
        for (; is_digit(*p); p++) power = power < MOST_EXPONENT ? power * 10 + (*p - '0') : power;
        exponent += is_small ? -power : power;
    }
    if (count > MOST_DIGITS) /* zeros in front don't count */
        for (const char *c = begin; *c == '0' || *c == '.'; c++) count -= *c == '0';
    double found = (double)m;
    *is_rare = count > MOST_DIGITS;
    if (m == 0 || exponent == 0)
        ;
    else if (m <= UINT64_C(1) << 53 && exponent >= -22 && exponent <= 22)
        found = exponent < 0 ? found / POWERS[-exponent] : found * POWERS[exponent];
    else if (exponent < 0 && exponent >= -19)
        found = quotient(m, (int)-exponent);
    else
        *is_rare = 1;
    *value = is_negative ? -found : found;
    return p;
}

INLINE const char *text(const char *p, char separator) {
    while (*p != separator && *p != '\n' && *p != '\r' && *p != '"' && *p) p++;
    return p;
}

/* Read a time as a whole number; what isn't one stays text. */
INLINE const char *time_cell(const char *p, char separator, int64_t *tick, int *kind) {
    int is_negative = *p == '-';
    const char *begin = p + (is_negative || *p == '+');
    uint64_t m = 0;
    p = digits(begin, &m);
    const char *end = text(p, separator);
    if (p != end || p == begin || p - begin > MOST_WHOLE) *kind = TEXT;
    *tick = is_negative ? -(int64_t)m : (int64_t)m;
    return end;
}

typedef struct {
    const char *data, *end; /* *end is 0 */
    char separator;
    const int32_t *places;
    double *values;
    int64_t *ticks, *spans;
    long width, channels, n_rows;
} Table;

/* Ask Python for a number; returns what is behind it. */
static const char *rare_number(const char *p, double *value) {
    char *end;
    PyGILState_STATE state = PyGILState_Ensure();
    *value = PyOS_string_to_double(p, &end, NULL);
    int is_wrong = PyErr_Occurred() != NULL;
    PyErr_Clear();
    PyGILState_Release(state);
    return is_wrong ? NULL : end;
}

static int read_rows(const Table *table) {
    const char *p = table->data, separator = table->separator;
    int kind = WHOLE;
    for (long row = 0; row < table->n_rows; row++) {
        double *values = table->values + row * table->channels;
        if (p == table->end || *p == '\n' || *p == '\r') return UNSURE; /* a blank line */
        for (long column = 0; column < table->width; column++) {
            long place = table->places[column];
            int is_rare = 0;
            if (column && *p++ != separator) return UNSURE;
            if (place >= 0) {
                const char *cell = p;
                if (*p == separator || *p == '\n' || *p == '\r' || p == table->end)
                    values[place] = NAN;
                else if (!(p = number(p, &values[place], &is_rare)))
                    return UNSURE;
                if (is_rare && rare_number(cell, &values[place]) != p) return UNSURE;
            } else if (place == TIME) {
                table->spans[2 * row] = p - table->data;
                p = time_cell(p, separator, &table->ticks[row], &kind);
                table->spans[2 * row + 1] = p - table->data;
            } else
                p = text(p, separator);
        }
        p += *p == '\r' && p[1] == '\n';
        if (p != table->end && *p++ != '\n') return UNSURE;
    }
    return p == table->end ? kind : UNSURE;
}

/* Python */

static PyObject *parse(PyObject *self, PyObject *arguments) {
    (void)self;
    enum { PLACES, VALUES, TICKS, SPANS, BUFFERS };
    Py_buffer b[BUFFERS];
    PyObject *body;
    int separator;
    Table table = {0};
    if (!PyArg_ParseTuple(arguments, "SCy*w*w*w*", &body, &separator, &b[PLACES], &b[VALUES], &b[TICKS], &b[SPANS]))
        return NULL;
    int kind = -1;
    table.width = (long)(b[PLACES].len / (Py_ssize_t)sizeof(int32_t)), table.places = b[PLACES].buf;
    table.n_rows = (long)(b[TICKS].len / (Py_ssize_t)sizeof(int64_t));
    long count = (long)(b[VALUES].len / (Py_ssize_t)sizeof(double));
    table.channels = table.n_rows > 0 ? count / table.n_rows : 0;
    int fits = table.n_rows > 0 && count == table.n_rows * table.channels && separator > 0 && separator < 128 &&
               b[SPANS].len == 2 * b[TICKS].len;
    for (long column = 0; column < table.width; column++) fits = fits && table.places[column] < table.channels;
    if (fits) {
        table.data = PyBytes_AsString(body), table.end = table.data + PyBytes_Size(body);
        table.separator = (char)separator;
        table.values = b[VALUES].buf, table.ticks = b[TICKS].buf, table.spans = b[SPANS].buf;
        Py_BEGIN_ALLOW_THREADS
        kind = read_rows(&table);
        Py_END_ALLOW_THREADS
    } else
        PyErr_SetString(PyExc_ValueError, "the arrays don't fit each other");
    for (int at = 0; at < BUFFERS; at++) PyBuffer_Release(&b[at]);
    return fits ? PyLong_FromLong(kind) : NULL;
}

static PyMethodDef methods[] = {
    {"parse", parse, METH_VARARGS, "Read rows of plain numbers; returns 0 if not sure, 1, or 2 if times are text."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_plain", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__plain(void) { return PyModuleDef_Init(&module); }
