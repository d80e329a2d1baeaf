/* @model@ as C99: a score and a label for each row of a series. Made by `oddwave export --target c`; see README.md. */

#ifndef DETECTOR_H
#define DETECTOR_H

#define DETECTOR_CHANNELS @channels@ /* values of a row */
#define DETECTOR_SCORED @scored@   /* channels that count */
#define DETECTOR_SIZE @size@     /* rows of a window */
#define DETECTOR_STRIDE @stride@   /* rows from one window to the next, where a whole series is scored */
#define DETECTOR_MAX_GAP @max_gap@  /* longest run of missing values or rows that is filled */
#define DETECTOR_HISTORY @history@ /* rows that streaming looks back on */
#define DETECTOR_SMOOTHING @smoothing@ /* rows over which streaming averages */
#define DETECTOR_TERMS 5
#define DETECTOR_UNSCORED (-1)

extern const char *const detector_names[DETECTOR_CHANNELS];
extern const char *const detector_time_name;
extern const int detector_time_is_text; /* dates rather than numbers */
extern const double detector_time_step; /* between rows, in seconds or units of the column; 0: not known */

/* Streaming */

typedef struct {
    double z[DETECTOR_HISTORY * DETECTOR_SCORED];
    float values[DETECTOR_SIZE * DETECTOR_CHANNELS];
    double terms[DETECTOR_SMOOTHING * DETECTOR_TERMS];
    double last[DETECTOR_CHANNELS]; /* value of each channel */
    int age[DETECTOR_CHANNELS];     /* rows since then */
    long long rows;                 /* of this stretch so far */
} Detector;

/* Begin anew; before the first row, and after a gap of more than DETECTOR_MAX_GAP rows. */
void detector_init(Detector *detector);
void detector_reset(Detector *detector); /* the same, by the name that says what it is for */

/* Score the next row: 1 if it is anomalous, else 0; DETECTOR_UNSCORED (and a score of NaN) while the first window fills up
and where a value is missing for too long. NaN or an infinite value is a missing one; a missing row is one of NaN. */
int detector_push(Detector *detector, const double row[DETECTOR_CHANNELS], double *score);

/* What streaming is made of; main.c scores whole series with it */

typedef struct {
    const double *knots, *surprises;
    int count;
    double slope, most;
} DetectorTail;

typedef struct {
    int error_rows, before, after, long_before, long_after, smooth_before, smooth_after, warm_up;
    double threshold;
    const double *spread_center, *spread_scale, *distance_scale, *shift_scale;
    DetectorTail tails[DETECTOR_TERMS];
} DetectorWay;

extern const DetectorWay detector_full, detector_causal;

/* Row number i of a series is at `data + i % capacity * (values of a row)`. */
typedef struct {
    const double *data;
    long long capacity;
} DetectorRows;

/* Fill what is missing in a row with the channels' last values; 0 if one is too old. Only `last` and `age` are used. */
int detector_fill(Detector *detector, const double *row, double *filled);

/* A filled row as the model reads it, and its scored channels in units of their usual deviation. */
void detector_scale(const double *filled, float *values, double *z);

/* Errors of one window, from its first row to its last. */
void detector_errors(const float *window, float *error);

/* Add the errors of rows of a window, for each scored channel. */
void detector_add(const float *error, int rows, double *sums);

/* The terms of a row among those before `end`, from the mean errors of its scored channels (NULL: not known yet). */
void detector_terms(const DetectorWay *way, DetectorRows z, long long row, long long end, const double *errors,
                    double *terms);

/* The score of a row, from the terms of the rows around it. */
double detector_score(const DetectorWay *way, DetectorRows terms, long long row, long long end);

#endif
