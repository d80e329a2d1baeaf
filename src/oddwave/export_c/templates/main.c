/* detect [--causal] [--threshold X] FILE.csv > out.csv: time, label and score of every row. See README.md. */

#include "detector.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_ROWS = 10000, NOWHERE = -1, CHANNELS = DETECTOR_CHANNELS, SCORED = DETECTOR_SCORED };

static const char *const time_names[] = {"timestamp", "@timestamp", "timestamp_(min)", "time_stamp", "datetime",
                                         "date_time", "time", "date", "ts"};

typedef struct {
    const char *source, *time_name;
    char *text;   /* the whole file, cut in cells */
    char **times; /* as written; NULL: there is no time column, rows are neighbours */
    double *ticks, *values;
    long rows;
    int is_text;
} Table;

typedef struct {
    double *score; /* NaN: none */
    int *label;    /* -1: none */
} Found;

static void stop(const char *form, ...) {
    va_list words;
    va_start(words, form);
    fputs("error: ", stderr);
    vfprintf(stderr, form, words);
    fputc('\n', stderr);
    va_end(words);
    exit(2);
}

static void *grown(void *old, size_t count, size_t size) {
    void *memory = count > (size_t)-1 / size ? NULL : realloc(old, count * size + 1);
    if (!memory) stop("there is not enough memory for this file. Use --causal on a part of it.");
    return memory;
}

static char *read_whole(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t size = 0, room = 0, got = 1;
    if (!file) stop("%s can't be read: %s.", path, strerror(errno));
    while (got) {
        if (size + 1 >= room) text = grown(text, room = 2 * room + 65536, 1);
        size += got = fread(text + size, 1, room - size - 1, file);
    }
    if (ferror(file)) stop("%s can't be read: %s.", path, strerror(errno));
    fclose(file);
    text[size] = 0;
    if (strlen(text) != size) stop("%s holds a zero byte: it is no CSV file.", path);
    return text;
}

/* Cut the next line off, without its end; NULL after the last. */
static char *next_line(char **rest) {
    char *line = *rest, *end = strchr(line, '\n');
    if (!*line) return NULL;
    *rest = end ? end + 1 : line + strlen(line);
    if (end) *end = 0;
    end = line + strlen(line);
    if (end > line && end[-1] == '\r') end[-1] = 0;
    return line;
}

/* Cut the next cell off a line, without spaces around it; NULL after the last. */
static char *next_cell(char **rest) {
    char *cell = *rest, *end;
    if (!cell) return NULL;
    end = strchr(cell, ',');
    *rest = end ? end + 1 : NULL;
    if (!end) end = cell + strlen(cell);
    while (*cell == ' ' || *cell == '\t') cell++;
    while (end > cell && (end[-1] == ' ' || end[-1] == '\t')) end--;
    *end = 0;
    return cell;
}

/* Read a decimal number such as -1.5e-3; 0 if it is none. */
static int read_number(const char *text, double *value) {
    const char *at = text + (*text == '-' || *text == '+');
    char *end;
    if (!isdigit((unsigned char)*at) && !(*at == '.' && isdigit((unsigned char)at[1]))) return 0;
    if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X')) return 0;
    *value = strtod(text, &end);
    return !*end;
}

/* Read a date such as 2026-01-31 or 2026-01-31T23:59:59.5 as seconds; 0 if it is none. */
static int read_date(const char *text, double *seconds) {
    int year, month, day, hour = 0, minute = 0, length = 0, more = 0;
    double second = 0.0;
    char sign;
    long days;
    if (sscanf(text, "%4d%c%2d%*c%2d%n", &year, &sign, &month, &day, &length) != 4 || length != 10) return 0;
    if ((sign != '-' && sign != '/') || text[7] != sign || month < 1 || month > 12 || day < 1 || day > 31) return 0;
    text += length;
    if (*text) {
        if (*text != ' ' && *text != 'T') return 0;
        if (sscanf(++text, "%2d:%2d%n", &hour, &minute, &more) != 2) return 0;
        text += more;
        if (*text == ':') {
            char *end;
            if (!isdigit((unsigned char)*++text)) return 0;
            second = strtod(text, &end);
            text = end;
        }
        if (*text == 'Z') text++;
        if (*text || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second >= 60.0) return 0;
    }
    year -= month <= 2; /* years that begin in March: a leap day is the last */
    days = 365L * year + year / 4 - year / 100 + year / 400 + (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day;
    *seconds = (double)days * 86400.0 + hour * 3600.0 + minute * 60.0 + second;
    return 1;
}

static int is_same(const char *a, const char *b) {
    for (; *a && tolower((unsigned char)*a) == tolower((unsigned char)*b); a++) b++;
    return !*a && !*b;
}

static int column_of(char *const *names, int count, const char *name) {
    int found = -1;
    for (int at = 0; at < count; at++) {
        if (strcmp(names[at], name)) continue;
        if (found >= 0) stop("line 1: two columns have the name %s.", name);
        found = at;
    }
    return found;
}

static int time_column(char *const *names, int count) {
    int found = column_of(names, count, detector_time_name);
    for (size_t word = 0; found < 0 && word < sizeof time_names / sizeof *time_names; word++)
        for (int at = 0; found < 0 && at < count; at++)
            if (is_same(names[at], time_names[word])) found = at;
    return found;
}

/* Read the header: which channel each column is, -1 for none; returns the number of columns. */
static int read_header(Table *table, char *line, int **channel_of, int *time_at) {
    char **names = NULL, *cell;
    int count = 0;
    if (strchr(line, '"')) stop("%s, line 1: quotes are not read. Write names without them.", table->source);
    while ((cell = next_cell(&line))) {
        names = grown(names, (size_t)count + 1, sizeof *names);
        names[count++] = cell;
    }
    *channel_of = grown(NULL, (size_t)count, sizeof **channel_of);
    for (int at = 0; at < count; at++) (*channel_of)[at] = -1;
    for (int c = 0; c < CHANNELS; c++) {
        int at = column_of(names, count, detector_names[c]);
        if (at < 0) stop("%s, line 1: there is no column %s, which this detector reads.", table->source, detector_names[c]);
        (*channel_of)[at] = c;
    }
    *time_at = time_column(names, count);
    if (*time_at >= 0 && (*channel_of)[*time_at] >= 0) *time_at = -1;
    if (*time_at >= 0) table->time_name = names[*time_at];
    free(names);
    return count;
}

static void read_time(Table *table, char *cell, long line) {
    double *tick = &table->ticks[table->rows];
    if (!table->rows) table->is_text = !read_number(cell, tick);
    if (table->is_text ? !read_date(cell, tick) : !read_number(cell, tick))
        stop("%s, line %ld: the time '%s' is neither a number nor a date such as 2026-01-31 23:59:59, or not of the kind "
             "of the first one.", table->source, line, cell);
    if (table->rows && *tick < tick[-1])
        stop("%s, line %ld: the time is earlier than in the row before. Sort the rows by time.", table->source, line);
    table->times[table->rows] = cell;
}

static Table read_table(const char *path) {
    Table table = {path, "row", read_whole(path), NULL, NULL, NULL, 0, 0};
    char *rest = table.text, *line;
    int *channel_of, time_at, columns;
    size_t room = 0;
    if (!strncmp(rest, "\xEF\xBB\xBF", 3)) rest += 3;
    if (!(line = next_line(&rest))) stop("%s is empty.", path);
    columns = read_header(&table, line, &channel_of, &time_at);
    for (long number = 2; (line = next_line(&rest)); number++) {
        char *cell;
        int at = 0;
        if (!*line) continue;
        if (strchr(line, '"')) stop("%s, line %ld: quotes are not read.", path, number);
        if ((size_t)table.rows >= room) {
            room = 2 * room + 1024;
            table.values = grown(table.values, room, CHANNELS * sizeof *table.values);
            table.ticks = grown(table.ticks, room, sizeof *table.ticks);
            if (time_at >= 0) table.times = grown(table.times, room, sizeof *table.times);
        }
        for (; (cell = next_cell(&line)); at++) {
            if (at >= columns) break;
            if (at == time_at) read_time(&table, cell, number);
            if (channel_of[at] < 0) continue;
            double *value = &table.values[table.rows * CHANNELS + channel_of[at]];
            *value = NAN;
            if (*cell && !read_number(cell, value))
                stop("%s, line %ld: '%s' in column %s is no decimal number.", path, number, cell,
                     detector_names[channel_of[at]]);
        }
        if (cell || at != columns) stop("%s, line %ld: the row has not %d cells as the header.", path, number, columns);
        table.rows++;
    }
    free(channel_of);
    if (table.rows < DETECTOR_SIZE)
        stop("%s has %ld rows, but this detector reads windows of %d.", path, table.rows, DETECTOR_SIZE);
    return table;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The time between rows: in full scoring the usual one of this file, in causal scoring that of the training; 0: none. */
static double step_of(const Table *table, int is_causal) {
    long rows = table->rows < STEP_ROWS ? table->rows : STEP_ROWS, count = 0;
    double *steps, step = 0.0;
    if (!table->times) return 0.0;
    if (is_causal) return table->is_text == detector_time_is_text ? detector_time_step : 0.0;
    steps = grown(NULL, (size_t)rows, sizeof *steps);
    for (long row = 1; row < rows; row++)
        if (table->ticks[row] > table->ticks[row - 1]) steps[count++] = table->ticks[row] - table->ticks[row - 1];
    qsort(steps, (size_t)count, sizeof *steps, compare);
    if (count) step = (steps[(count - 1) / 2] + steps[count / 2]) / 2;
    free(steps);
    return step;
}

/* How many steps a row is after the one before; 0: it repeats its time. */
static double steps_to(const Table *table, long row, double step) {
    double difference = row ? table->ticks[row] - table->ticks[row - 1] : step;
    if (step <= 0.0) return 1.0;
    if (row && difference == 0.0) return 0.0;
    return difference > 1.5 * step ? rint(difference / step) : 1.0;
}

static void score_causal(const Table *table, double step, double threshold, Found found) {
    static Detector detector;
    double missing[CHANNELS], ignored;
    for (int c = 0; c < CHANNELS; c++) missing[c] = NAN;
    detector_init(&detector);
    for (long row = 0; row < table->rows; row++) {
        double steps = steps_to(table, row, step);
        if (steps == 0.0) {
            found.score[row] = found.score[row - 1];
            continue;
        }
        if (steps - 1 > DETECTOR_MAX_GAP) detector_reset(&detector);
        else
            for (; steps > 1; steps--) detector_push(&detector, missing, &ignored);
        detector_push(&detector, table->values + row * CHANNELS, &found.score[row]);
    }
    for (long row = 0; row < table->rows; row++)
        found.label[row] = isnan(found.score[row]) ? -1 : found.score[row] > threshold;
}

/* Filled rows on the grid, of one stretch. */
typedef struct {
    float *values;
    double *z, *scores;
    long rows;
    size_t room;
} Stretch;

static void add_window(const Stretch *stretch, long first, double *sums, int *counts) {
    static float error[DETECTOR_SIZE * CHANNELS];
    detector_errors(stretch->values + first * CHANNELS, error);
    for (int row = 0; row < DETECTOR_SIZE; row++) {
        detector_add(error + row * CHANNELS, 1, sums + (first + row) * SCORED);
        counts[first + row]++;
    }
}

static void score_stretch(Stretch *stretch) {
    long rows = stretch->rows, last = rows - DETECTOR_SIZE;
    double *sums, *terms;
    int *counts;
    stretch->scores = grown(stretch->scores, (size_t)rows, sizeof *stretch->scores);
    for (long row = 0; row < rows; row++) stretch->scores[row] = NAN;
    if (last < 0) return;
    sums = grown(NULL, (size_t)rows * SCORED, sizeof *sums);
    terms = grown(NULL, (size_t)rows * DETECTOR_TERMS, sizeof *terms);
    counts = grown(NULL, (size_t)rows, sizeof *counts);
    memset(sums, 0, (size_t)rows * SCORED * sizeof *sums);
    memset(counts, 0, (size_t)rows * sizeof *counts);
    for (long first = 0; first <= last; first += DETECTOR_STRIDE) add_window(stretch, first, sums, counts);
    if (last % DETECTOR_STRIDE) add_window(stretch, last, sums, counts);
    for (long row = 0; row < rows; row++) {
        DetectorRows z = {stretch->z, rows};
        for (int s = 0; s < SCORED; s++) sums[row * SCORED + s] /= counts[row];
        detector_terms(&detector_full, z, row, rows, sums + row * SCORED, terms + row * DETECTOR_TERMS);
    }
    for (long row = 0; row < rows; row++) {
        DetectorRows all = {terms, rows};
        stretch->scores[row] = detector_score(&detector_full, all, row, rows);
    }
    free(sums);
    free(terms);
    free(counts);
}

/* Score the stretch that ends before a row, and give its scores to the rows on it. */
static void end_stretch(Stretch *stretch, long *position, long *from, long row, double *score) {
    score_stretch(stretch);
    for (; *from < row; ++*from)
        score[*from] = position[*from] == NOWHERE ? NAN : stretch->scores[position[*from]];
    stretch->rows = 0;
}

static void append(Stretch *stretch, const double *filled) {
    if ((size_t)stretch->rows >= stretch->room) {
        stretch->room = 2 * stretch->room + 1024;
        stretch->values = grown(stretch->values, stretch->room, CHANNELS * sizeof *stretch->values);
        stretch->z = grown(stretch->z, stretch->room, SCORED * sizeof *stretch->z);
    }
    detector_scale(filled, stretch->values + stretch->rows * CHANNELS, stretch->z + stretch->rows * SCORED);
    stretch->rows++;
}

static void score_full(const Table *table, double step, double threshold, Found found) {
    static Detector cells; /* only what it fills rows with */
    Stretch stretch = {NULL, NULL, NULL, 0, 0};
    long *position = grown(NULL, (size_t)table->rows, sizeof *position), from = 0;
    double missing[CHANNELS], filled[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) missing[c] = NAN;
    detector_init(&cells);
    for (long row = 0; row < table->rows; row++) {
        double steps = steps_to(table, row, step);
        position[row] = row ? position[row - 1] : NOWHERE;
        if (steps - 1 > DETECTOR_MAX_GAP) {
            end_stretch(&stretch, position, &from, row, found.score);
            detector_reset(&cells);
            steps = 1;
        }
        for (; steps > 0; steps--) {
            if (detector_fill(&cells, steps > 1 ? missing : table->values + row * CHANNELS, filled)) {
                position[row] = stretch.rows;
                append(&stretch, filled);
            } else {
                end_stretch(&stretch, position, &from, row, found.score);
                position[row] = NOWHERE;
            }
        }
    }
    end_stretch(&stretch, position, &from, table->rows, found.score);
    for (long row = 0; row < table->rows; row++)
        found.label[row] = isnan(found.score[row]) ? -1 : found.score[row] > threshold;
    free(position);
    free(stretch.values);
    free(stretch.z);
    free(stretch.scores);
}

static void write_rows(const Table *table, Found found) {
    printf("%s,label,score\n", table->time_name);
    for (long row = 0; row < table->rows; row++) {
        if (table->times) printf("%s,", table->times[row]);
        else printf("%ld,", row);
        if (found.label[row] < 0) printf(",\n");
        else printf("%d,%.17g\n", found.label[row], found.score[row]);
    }
    if (fflush(stdout) || ferror(stdout)) stop("the result can't be written: %s.", strerror(errno));
}

int main(int count, char **words) {
    const char *path = NULL;
    double threshold = 0.0, step;
    int is_causal = 0;
    Table table;
    Found found;
    for (int at = 1; at < count; at++) {
        if (!strcmp(words[at], "--causal")) is_causal = 1;
        else if (!strcmp(words[at], "--threshold") && at + 1 < count) {
            if (!read_number(words[++at], &threshold) || threshold <= 0.0) stop("the threshold %s is no number above 0.", words[at]);
        } else if (words[at][0] == '-' || path) stop("usage: detect [--causal] [--threshold X] FILE.csv > out.csv");
        else path = words[at];
    }
    if (!path) stop("usage: detect [--causal] [--threshold X] FILE.csv > out.csv");
    table = read_table(path);
    found.score = grown(NULL, (size_t)table.rows, sizeof *found.score);
    found.label = grown(NULL, (size_t)table.rows, sizeof *found.label);
    step = step_of(&table, is_causal);
    if (threshold == 0.0) threshold = is_causal ? detector_causal.threshold : detector_full.threshold;
    (is_causal ? score_causal : score_full)(&table, step, threshold, found);
    write_rows(&table, found);
    free(found.score);
    free(found.label);
    free(table.text);
    free(table.times);
    free(table.ticks);
    free(table.values);
    return 0;
}
