/* The sums behind a score, for a stretch of rows: what stretch.py and score.py say in numpy, in one pass over the rows.

Rows are summed over rolling windows by van Herk's way (1992): a window of w rows is the end of one block of w rows and
the beginning of the next, and blocks begin at multiples of w of the stretch's own row numbers. So a row's sums are the
same to the bit, whichever rows are asked for together. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 4
typedef double Vector __attribute__((vector_size(8 * LANES)));
typedef int64_t Bits __attribute__((vector_size(8 * LANES)));

#define INLINE static inline __attribute__((always_inline))
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__)
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif

#define FLOOR 0.05   /* score.SPREAD_FLOOR */
#define TERMS 5      /* metadata.TERMS */
#define LN_2 0x1.62e42fefa39efp-1
#define MOST 1e150   /* of one factor of a product; two of them, and what was before, stay finite */
#define EXPONENT_0 INT64_C(0x3FF0000000000000)
#define ROOT_HALF INT64_C(0x3FE6A09E667F3BCD)
#define MANTISSA INT64_C(0x000FFFFFFFFFFFFF)
#define TWO_52 INT64_C(0x4330000000000000)

INLINE Vector filled(double x) { return (Vector){x, x, x, x}; }

INLINE Vector load(const double *row, long at, long width) {
    const double *x = row + at;
    switch (width - at) {
    case 1: return (Vector){x[0]};
    case 2: return (Vector){x[0], x[1]};
    case 3: return (Vector){x[0], x[1], x[2]};
    default: return (Vector){x[0], x[1], x[2], x[3]};
    }
}

INLINE void store(double *row, long at, long width, Vector x) {
    long lanes = width - at;
    if (lanes >= LANES)
        memcpy(row + at, &x, sizeof x);
    else
        for (long lane = 0; lane < lanes; lane++) row[at + lane] = x[lane];
}

INLINE Vector larger(Vector a, Vector b) {
    Bits is_a = a > b;
    return (Vector)(((Bits)a & is_a) | ((Bits)b & ~is_a));
}

INLINE Vector absolute(Vector x) { return (Vector)((Bits)x & INT64_MAX); }

INLINE Vector square_root(Vector x) {
    Vector root;
    for (int lane = 0; lane < LANES; lane++) root[lane] = sqrt(x[lane]);
    return root;
}

/* The natural logarithm of positive, normal numbers: x = m 2^e with m around 1, ln m = 2 artanh((m - 1) / (m + 1)). */
INLINE Vector logarithm(Vector x) {
    Bits shifted = (Bits)x + (EXPONENT_0 - ROOT_HALF);
    Bits exponent = (Bits)((uint64_t __attribute__((vector_size(8 * LANES))))shifted >> 52);
    Vector m = (Vector)((Bits)x - (exponent << 52) + EXPONENT_0);
    Vector e = (Vector)(exponent | TWO_52) - (4503599627370496.0 + 1023.0);
    Vector s = (m - 1.0) / (m + 1.0), s2 = s * s, s4 = s2 * s2; /* two halves of the series, for they don't wait */
    Vector even = filled(2.0 / 21), odd = filled(2.0 / 19);
    for (int power = 17; power > 0; power -= 4) {
        even = even * s4 + 2.0 / power;
        if (power > 1) odd = odd * s4 + 2.0 / (power - 2);
    }
    return e * LN_2 + s * (even + odd * s2);
}

/* A product of many factors from 1 up, as a mantissa and an exponent: its logarithm is the sum of theirs. */
typedef struct {
    Vector mantissa;
    Bits exponent;
} Product;

INLINE void times(Product *product, Vector factor) {
    Vector most = filled(MOST);
    Bits is_too_large = factor > most;
    product->mantissa *= (Vector)(((Bits)factor & ~is_too_large) | ((Bits)most & is_too_large));
}

INLINE void settle(Product *product) {
    Bits bits = (Bits)product->mantissa;
    product->exponent += (Bits)((uint64_t __attribute__((vector_size(8 * LANES))))bits >> 52) - 1023;
    product->mantissa = (Vector)((bits & MANTISSA) | EXPONENT_0);
}

INLINE double mantissa(const Product *product) {
    return (product->mantissa[0] * product->mantissa[1]) * (product->mantissa[2] * product->mantissa[3]);
}

INLINE double exponent(const Product *product) {
    return (double)(product->exponent[0] + product->exponent[1] + product->exponent[2] + product->exponent[3]);
}

INLINE double total(Vector x) { return (x[0] + x[1]) + (x[2] + x[3]); }

/* Rows of a stretch from number `first` on, as (row - center) * factor; those before 0 and from `end` on are 0. */
typedef struct {
    const double *data;
    const Vector *center, *factor; /* NULL: as they are */
    long width, first, end;
} Rows;

INLINE Vector row_at(const Rows *rows, long row, long at) {
    Vector x = load(rows->data + (row - rows->first) * rows->width, at * LANES, rows->width);
    return rows->center ? (x - rows->center[at]) * rows->factor[at] : x;
}

/* Sums over the rows around one row, and of their squares if `powers` is 2; each of `vectors` vectors. */
typedef struct {
    long before, after, width, vectors;
    int powers;
    Vector *head;  /* of the block in which the window ends, up to there */
    Vector *tails; /* of the block before, from each of its rows to its end */
    Vector *sums;
} Rolling;

static long block_of(long row, long width) { return (row >= 0 ? row / width : -((width - 1 - row) / width)) * width; }

static size_t rolling_size(long width, long vectors, int powers) { return (size_t)(width + 2) * vectors * powers; }

INLINE Rolling rolling(long before, long after, long vectors, int powers, Vector *scratch) {
    Rolling found = {before, after, before + after + 1, vectors, powers, scratch, 0, 0};
    found.sums = scratch + vectors * powers;
    found.tails = found.sums + vectors * powers;
    return found;
}

INLINE void add_row(Vector *sums, const Vector *others, const Rows *rows, long row, long vectors, int powers) {
    int is_there = row >= 0 && row < rows->end;
    for (long at = 0; at < vectors; at++) {
        Vector x = is_there ? row_at(rows, row, at) : filled(0.0);
        sums[at] = others[at] + x;
        if (powers == 2) sums[vectors + at] = others[vectors + at] + x * x;
    }
}

/* Sum the rows of a block from each one to the block's end, back to row `from`. */
INLINE void sum_tails(Rolling *window, const Rows *rows, long block, long from) {
    long size = window->vectors * window->powers;
    Vector *tail = window->tails + (window->width - 1) * size;
    memset(tail, 0, size * sizeof(Vector));
    add_row(tail, tail, rows, block + window->width - 1, window->vectors, window->powers);
    for (long row = block + window->width - 2; row >= from; row--, tail -= size)
        add_row(tail - size, tail, rows, row, window->vectors, window->powers);
}

/* Bring a window to where the row before `row` would have left it. */
INLINE void start(Rolling *window, const Rows *rows, long row) {
    long first = row - window->before, last = row + window->after, block = block_of(last, window->width);
    memset(window->head, 0, window->vectors * window->powers * sizeof(Vector));
    for (long at = block; at < last; at++)
        add_row(window->head, window->head, rows, at, window->vectors, window->powers);
    if (last != block && first != block) sum_tails(window, rows, block - window->width, first);
}

/* Move a window on to a row; the sums are in `sums` then. */
INLINE void move(Rolling *window, const Rows *rows, long row) {
    long first = row - window->before, last = row + window->after, block = block_of(last, window->width);
    long size = window->vectors * window->powers;
    if (last == block) {
        memset(window->head, 0, size * sizeof(Vector));
        if (first < block) sum_tails(window, rows, block - window->width, first);
    }
    add_row(window->head, window->head, rows, last, window->vectors, window->powers);
    if (first == block) {
        memcpy(window->sums, window->head, size * sizeof(Vector));
        return;
    }
    const Vector *tail = window->tails + (first - block + window->width) * size;
    for (long at = 0; at < size; at++) window->sums[at] = tail[at] + window->head[at];
}

/* How many rows from `begin` on a window holds. */
INLINE double held(const Rolling *window, long row, long begin, long end) {
    long first = row - window->before, last = row + window->after;
    return (double)((last < end ? last : end - 1) - (first > begin ? first : begin) + 1);
}

enum { CENTER, FACTOR, SPREAD_CENTER, SPREAD_FACTOR, DISTANCE_FACTOR, SHIFT_FACTOR, CONSTANTS };

typedef struct {
    const double *values, *constants, *errors;
    double *parts, *terms;
    long channels, first, start, stop, end, before, after, long_before, long_after, warm_up, is_counted;
} Job;

FOR_EACH_CPU static int compute_terms(const Job *job) {
    long channels = job->channels, vectors = (channels + LANES - 1) / LANES;
    long width = job->before + job->after + 1, long_width = job->long_before + job->long_after + 1;
    size_t n_vectors = CONSTANTS * vectors + rolling_size(width, vectors, 2) + rolling_size(long_width, vectors, 1);
    void *memory = malloc((n_vectors + 1) * sizeof(Vector));
    if (!memory) return -1;
    Vector *scratch = (Vector *)(((uintptr_t)memory + sizeof(Vector) - 1) & ~(uintptr_t)(sizeof(Vector) - 1));
    Vector *constant[CONSTANTS];
    for (int name = 0; name < CONSTANTS; name++) {
        constant[name] = scratch + name * vectors;
        for (long at = 0; at < vectors; at++)
            constant[name][at] = load(job->constants + name * channels, at * LANES, channels);
    }
    Rolling near = rolling(job->before, job->after, vectors, 2, scratch + CONSTANTS * vectors);
    Rolling far = rolling(job->long_before, job->long_after, vectors, 1, near.tails + (width * vectors * 2));
    Rows rows = {job->values, constant[CENTER], constant[FACTOR], channels, job->first, job->end};
    start(&near, &rows, job->start);
    start(&far, &rows, job->start);
    for (long row = job->start; row < job->stop; row++) {
        move(&near, &rows, row);
        move(&far, &rows, row);
        double share = 1.0 / held(&near, row, 0, job->end), long_share = 1.0 / held(&far, row, 0, job->end);
        const double *error_row = job->errors + (row - job->start) * (channels + job->is_counted);
        double error_share = job->is_counted ? 1.0 / error_row[channels] : 1.0;
        double *energies = job->parts + (row - job->start) * 3 * channels;
        double *spreads = energies + channels, *shifts = spreads + channels;
        Vector squares = {0}, most = {0};
        Product errors = {filled(1.0), {0}}, distances = errors, moves = errors;
        for (long at = 0; at < vectors; at++) {
            Vector mean = near.sums[at] * share, mean_square = near.sums[vectors + at] * share;
            Vector variance = larger(mean_square - mean * mean, filled(0.0));
            Vector excess = logarithm(square_root(variance) + FLOOR) - constant[SPREAD_CENTER][at];
            Vector spread = larger(excess * constant[SPREAD_FACTOR][at], filled(0.0));
            Vector distance = absolute(row_at(&rows, row, at) - mean) * constant[DISTANCE_FACTOR][at];
            Vector shift = absolute(mean - far.sums[at] * long_share) * constant[SHIFT_FACTOR][at];
            Vector error = load(error_row, at * LANES, channels) * error_share;
            Vector energy = error * error + distance * distance;
            if (row < job->warm_up) energy = filled(0.0); /* without an error it isn't known */
            store(energies, at * LANES, channels, energy);
            store(spreads, at * LANES, channels, spread);
            store(shifts, at * LANES, channels, shift);
            squares += spread * spread;
            most = larger(energy, most);
            times(&errors, error + 1.0);
            times(&distances, distance + 1.0);
            times(&moves, shift + 1.0);
            if (at % 2) settle(&errors), settle(&distances), settle(&moves);
        }
        settle(&errors), settle(&distances), settle(&moves);
        Vector logs = {mantissa(&errors), mantissa(&distances), mantissa(&moves), 1.0};
        logs = logarithm(logs);
        double *term = job->terms + (row - job->start) * TERMS, one = 1.0 / channels;
        term[0] = (logs[0] + exponent(&errors) * LN_2) * one;
        term[1] = total(squares) * one;
        term[2] = (logs[1] + exponent(&distances) * LN_2) * one;
        term[3] = fmax(fmax(most[0], most[1]), fmax(most[2], most[3]));
        term[4] = (logs[2] + exponent(&moves) * LN_2) * one;
    }
    free(memory);
    return 0;
}

/* Where terms begin to be surprising, and how much; see score.surprise. */
typedef struct {
    const double *knots, *surprises;
    long count;
    double slope, most;
} Tail;

INLINE double surprise(const Tail *tail, double value) {
    const double *knots = tail->knots, *at_knots = tail->surprises;
    long low = 0, high = tail->count - 1;
    if (isnan(value)) return value;
    if (value < knots[0]) return 0.0;
    if (value >= knots[high]) return fmin(at_knots[high] + log(fmax(value / knots[high], 1.0)) / tail->slope, tail->most);
    while (high - low > 1) { /* knots[low] <= value < knots[high] */
        long middle = (low + high) / 2;
        if (value < knots[middle])
            high = middle;
        else
            low = middle;
    }
    double slope = (at_knots[high] - at_knots[low]) / (knots[high] - knots[low]);
    return fmin(at_knots[low] + slope * (value - knots[low]), tail->most);
}

typedef struct {
    const double *terms;
    double *smooth, *rare, *score;
    long first, start, stop, end, before, after, begin[TERMS];
    Tail tails[TERMS];
} Scoring;

FOR_EACH_CPU static int compute_scores(const Scoring *job) {
    enum { VECTORS = (TERMS + LANES - 1) / LANES };
    long width = job->before + job->after + 1;
    void *memory = malloc((rolling_size(width, VECTORS, 1) + 1) * sizeof(Vector));
    if (!memory) return -1;
    Vector *scratch = (Vector *)(((uintptr_t)memory + sizeof(Vector) - 1) & ~(uintptr_t)(sizeof(Vector) - 1));
    Rolling window = rolling(job->before, job->after, VECTORS, 1, scratch);
    Rows rows = {job->terms, NULL, NULL, TERMS, job->first, job->end};
    start(&window, &rows, job->start);
    for (long row = job->start; row < job->stop; row++) {
        move(&window, &rows, row);
        long at = row - job->start;
        double sum = 0.0;
        for (int term = 0; term < TERMS; term++) {
            double mean = window.sums[term / LANES][term % LANES] / held(&window, row, job->begin[term], job->end);
            double rare = surprise(&job->tails[term], mean);
            job->smooth[at * TERMS + term] = mean;
            job->rare[at * TERMS + term] = rare;
            sum += rare;
        }
        job->score[at] = sum / TERMS;
    }
    free(memory);
    return 0;
}

typedef struct {
    const double *parts, *rare;
    double *out;
    long channels, first, start, stop, end, before, after, warm_up;
} Sharing;

/* Share out the surprises of rows: see StretchScorer._contribution. */
FOR_EACH_CPU static int compute_shares(const Sharing *job) {
    long channels = job->channels, width = job->before + job->after + 1, vectors = (3 * channels + LANES - 1) / LANES;
    void *memory = malloc((rolling_size(width, vectors, 1) + vectors + 1) * sizeof(Vector));
    if (!memory) return -1;
    Vector *scratch = (Vector *)(((uintptr_t)memory + sizeof(Vector) - 1) & ~(uintptr_t)(sizeof(Vector) - 1));
    Rolling window = rolling(job->before, job->after, vectors, 1, scratch + vectors);
    Rows rows = {job->parts, NULL, NULL, 3 * channels, job->first, job->end};
    start(&window, &rows, job->start);
    for (long row = job->start; row < job->stop; row++) {
        move(&window, &rows, row);
        const double *sums = (const double *)window.sums, *rare = job->rare + (row - job->start) * TERMS;
        double share[3] = {rare[0] + rare[2] + rare[3], rare[1], rare[4]};
        for (int part = 0; part < 3; part++) {
            double whole = 0.0, count = held(&window, row, part ? 0 : job->warm_up, job->end);
            for (long channel = 0; channel < channels; channel++) whole += sums[part * channels + channel] / count;
            share[part] /= (whole > 0.0 ? whole : 1.0) * TERMS * count;
        }
        double *out = job->out + (row - job->start) * channels;
        for (long channel = 0; channel < channels; channel++)
            out[channel] = sums[channel] * share[0] + sums[channels + channel] * share[1] +
                           sums[2 * channels + channel] * share[2];
    }
    free(memory);
    return 0;
}

/* Add the errors of evenly spaced windows to the rows they hold, and count them in the last column. */
FOR_EACH_CPU static void overlap_add(const float *errors, long windows, long size, long channels, long stride, double *total) {
    for (long window = 0; window < windows; window++)
        for (long row = 0; row < size; row++) {
            double *sums = total + (window * stride + row) * (channels + 1);
            const float *error = errors + (window * size + row) * channels;
            for (long channel = 0; channel < channels; channel++) sums[channel] += error[channel];
            sums[channels] += 1.0;
        }
}

/* Python */

#define FITS(condition) fits(condition, #condition)

static int fits(int is_so, const char *condition) {
    if (!is_so) PyErr_Format(PyExc_ValueError, "the arrays don't fit each other: %s", condition);
    return is_so;
}

static long count_of(const Py_buffer *buffer) { return (long)(buffer->len / (Py_ssize_t)sizeof(double)); }

static PyObject *finished(Py_buffer *buffers, int count, int is_done) {
    for (int at = 0; at < count; at++) PyBuffer_Release(&buffers[at]);
    if (PyErr_Occurred()) return NULL;
    if (!is_done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* Say whether `data` holds all rows that a window around the wanted ones reaches. */
static int reaches(long first, long n_rows, long start, long stop, long end, long before, long after) {
    long low = start > before ? start - before : 0, high = stop + after < end ? stop + after : end;
    return start >= 0 && start <= stop && before >= 0 && after >= 0 && first <= low && high <= first + n_rows;
}

static PyObject *terms(PyObject *self, PyObject *arguments) {
    (void)self;
    enum { VALUES, CONSTANT, ERRORS, PARTS, OUT, BUFFERS };
    Py_buffer b[BUFFERS];
    Job job = {0};
    if (!PyArg_ParseTuple(arguments, "y*y*y*w*w*lllllllll", &b[VALUES], &b[CONSTANT], &b[ERRORS], &b[PARTS], &b[OUT],
                          &job.first, &job.start, &job.stop, &job.end, &job.before, &job.after, &job.long_before,
                          &job.long_after, &job.warm_up))
        return NULL;
    long n_rows = job.stop - job.start, channels = job.channels = count_of(&b[CONSTANT]) / CONSTANTS, is_done = 0;
    long known = channels > 0 ? count_of(&b[VALUES]) / channels : 0;
    job.is_counted = count_of(&b[ERRORS]) == n_rows * (channels + 1);
    if (FITS(channels > 0 && n_rows > 0) && FITS(job.is_counted || count_of(&b[ERRORS]) == n_rows * channels) &&
        FITS(reaches(job.first, known, job.start, job.stop, job.end, job.before, job.after)) &&
        FITS(reaches(job.first, known, job.start, job.stop, job.end, job.long_before, job.long_after)) &&
        FITS(count_of(&b[PARTS]) == n_rows * 3 * channels && count_of(&b[OUT]) == n_rows * TERMS)) {
        job.values = b[VALUES].buf, job.constants = b[CONSTANT].buf, job.errors = b[ERRORS].buf;
        job.parts = b[PARTS].buf, job.terms = b[OUT].buf;
        Py_BEGIN_ALLOW_THREADS
        is_done = compute_terms(&job) == 0;
        Py_END_ALLOW_THREADS
    }
    return finished(b, BUFFERS, (int)is_done);
}

static PyObject *scores(PyObject *self, PyObject *arguments) {
    (void)self;
    enum { VALUES, CURVES, SMOOTH, RARE, OUT, BUFFERS };
    Py_buffer b[BUFFERS];
    Scoring job = {0};
    long knots[TERMS], *begin = job.begin, is_done = 0;
    if (!PyArg_ParseTuple(arguments, "y*y*w*w*w*(lllll)(lllll)llllll", &b[VALUES], &b[CURVES], &b[SMOOTH], &b[RARE],
                          &b[OUT], &knots[0], &knots[1], &knots[2], &knots[3], &knots[4], &begin[0], &begin[1],
                          &begin[2], &begin[3], &begin[4], &job.first, &job.start, &job.stop, &job.end, &job.before,
                          &job.after))
        return NULL;
    long n_rows = job.stop - job.start, needed = 0, is_long = 1;
    for (int term = 0; term < TERMS; term++) {
        Tail tail = {(double *)b[CURVES].buf + needed + 2, NULL, knots[term], 0, 0};
        is_long = is_long && knots[term] > 0;
        needed += 2 + 2 * (is_long ? knots[term] : 0);
        tail.surprises = tail.knots + knots[term];
        job.tails[term] = tail;
    }
    long known = count_of(&b[VALUES]) / TERMS;
    if (FITS(is_long && needed == count_of(&b[CURVES])) && FITS(n_rows > 0 && count_of(&b[OUT]) == n_rows) &&
        FITS(reaches(job.first, known, job.start, job.stop, job.end, job.before, job.after)) &&
        FITS(count_of(&b[SMOOTH]) == n_rows * TERMS && count_of(&b[RARE]) == n_rows * TERMS)) {
        for (int term = 0; term < TERMS; term++) {
            job.tails[term].slope = job.tails[term].knots[-2];
            job.tails[term].most = job.tails[term].knots[-1];
        }
        job.terms = b[VALUES].buf, job.smooth = b[SMOOTH].buf, job.rare = b[RARE].buf, job.score = b[OUT].buf;
        Py_BEGIN_ALLOW_THREADS
        is_done = compute_scores(&job) == 0;
        Py_END_ALLOW_THREADS
    }
    return finished(b, BUFFERS, (int)is_done);
}

static PyObject *shares(PyObject *self, PyObject *arguments) {
    (void)self;
    enum { PARTS, RARE, OUT, BUFFERS };
    Py_buffer b[BUFFERS];
    Sharing job = {0};
    if (!PyArg_ParseTuple(arguments, "y*y*w*lllllll", &b[PARTS], &b[RARE], &b[OUT], &job.first, &job.start, &job.stop,
                          &job.end, &job.before, &job.after, &job.warm_up))
        return NULL;
    long n_rows = job.stop - job.start, is_done = 0;
    job.channels = n_rows > 0 ? count_of(&b[OUT]) / n_rows : 0;
    long known = job.channels > 0 ? count_of(&b[PARTS]) / (3 * job.channels) : 0;
    if (FITS(job.channels > 0 && count_of(&b[OUT]) == n_rows * job.channels) &&
        FITS(count_of(&b[RARE]) == n_rows * TERMS) &&
        FITS(reaches(job.first, known, job.start, job.stop, job.end, job.before, job.after))) {
        job.parts = b[PARTS].buf, job.rare = b[RARE].buf, job.out = b[OUT].buf;
        Py_BEGIN_ALLOW_THREADS
        is_done = compute_shares(&job) == 0;
        Py_END_ALLOW_THREADS
    }
    return finished(b, BUFFERS, (int)is_done);
}

static PyObject *add_windows(PyObject *self, PyObject *arguments) {
    (void)self;
    Py_buffer b[2];
    long windows, size, channels, first, stride;
    if (!PyArg_ParseTuple(arguments, "y*w*lllll", &b[0], &b[1], &windows, &size, &channels, &first, &stride)) return NULL;
    long rows = windows > 0 ? (windows - 1) * stride + size : 0;
    if (FITS(windows > 0 && size > 0 && channels > 0 && first >= 0 && stride >= 0) &&
        FITS(b[0].len == (Py_ssize_t)sizeof(float) * windows * size * channels) &&
        FITS((first + rows) * (channels + 1) <= count_of(&b[1]))) {
        Py_BEGIN_ALLOW_THREADS
        overlap_add(b[0].buf, windows, size, channels, stride, (double *)b[1].buf + first * (channels + 1));
        Py_END_ALLOW_THREADS
    }
    return finished(b, 2, 1);
}

static PyMethodDef methods[] = {
    {"terms", terms, METH_VARARGS, "Compute the terms of rows, and the energy, spread and shift of their channels."},
    {"scores", scores, METH_VARARGS, "Smooth terms, and say how rare they are."},
    {"shares", shares, METH_VARARGS, "Share out the surprises of rows over their channels."},
    {"add_windows", add_windows, METH_VARARGS, "Add the errors of windows to the rows they hold."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&module); }
