/* @model@ as C99; see detector.h. The graph is computed in float, what follows it in double. */

#include "detector.h"

#include <math.h>
#include <string.h>

#define FLOOR 0.05  /* added to a deviation, so that its logarithm is finite */
#define HUGE_CELL 1e25 /* values and errors beyond count as this */

const char *const detector_names[DETECTOR_CHANNELS] = {
    @names@};
const char *const detector_time_name = @time_name@;
const int detector_time_is_text = @time_is_text@;
const double detector_time_step = @time_step@;

@picked@@scaling@
@ways@
@weights@
void detector_errors(const float *window, float *error) {
@graph@
    for (int i = 0; i < DETECTOR_SIZE * DETECTOR_CHANNELS; i++)
        if (!(error[i] <= (float)HUGE_CELL)) error[i] = (float)HUGE_CELL; /* also if it is no number */
}

void detector_add(const float *error, int rows, double *sums) {
    for (int row = 0; row < rows; row++)
        for (int s = 0; s < DETECTOR_SCORED; s++) sums[s] += error[row * DETECTOR_CHANNELS + scored[s]];
}

int detector_fill(Detector *detector, const double *row, double *filled) {
    int is_filled = 1;
    for (int c = 0; c < DETECTOR_CHANNELS; c++) {
        if (isfinite(row[c])) {
            detector->last[c] = row[c];
            detector->age[c] = 0;
        } else if (detector->age[c] <= DETECTOR_MAX_GAP) {
            detector->age[c]++;
        }
        if (detector->age[c] > DETECTOR_MAX_GAP) is_filled = 0;
        filled[c] = detector->last[c];
    }
    return is_filled;
}

void detector_scale(const double *filled, float *values, double *z) {
    for (int c = 0; c < DETECTOR_CHANNELS; c++) values[c] = (float)fmin(fmax(filled[c], -HUGE_CELL), HUGE_CELL);
    for (int s = 0; s < DETECTOR_SCORED; s++)
        z[s] = (fmin(fmax(filled[scored[s]], -HUGE_CELL), HUGE_CELL) - center[s]) / scale[s];
}

static long long at_least(long long row, long long least) { return row > least ? row : least; }

/* Average rows `first` to `last`, and their squares if asked for. */
static void average(DetectorRows z, long long first, long long last, double *mean, double *mean_square) {
    double count = (double)(last - first + 1);
    for (int s = 0; s < DETECTOR_SCORED; s++) mean[s] = 0.0;
    if (mean_square)
        for (int s = 0; s < DETECTOR_SCORED; s++) mean_square[s] = 0.0;
    for (long long row = first; row <= last; row++) {
        const double *x = z.data + row % z.capacity * DETECTOR_SCORED;
        for (int s = 0; s < DETECTOR_SCORED; s++) mean[s] += x[s];
        if (mean_square)
            for (int s = 0; s < DETECTOR_SCORED; s++) mean_square[s] += x[s] * x[s];
    }
    for (int s = 0; s < DETECTOR_SCORED; s++) mean[s] /= count;
    if (mean_square)
        for (int s = 0; s < DETECTOR_SCORED; s++) mean_square[s] /= count;
}

void detector_terms(const DetectorWay *way, DetectorRows z, long long row, long long end, const double *errors,
                    double *terms) {
    static double mean[DETECTOR_SCORED], mean_square[DETECTOR_SCORED], long_mean[DETECTOR_SCORED];
    const double *x = z.data + row % z.capacity * DETECTOR_SCORED;
    long long last = row + way->after, long_last = row + way->long_after;
    average(z, at_least(row - way->before, 0), last < end ? last : end - 1, mean, mean_square);
    average(z, at_least(row - way->long_before, 0), long_last < end ? long_last : end - 1, long_mean, NULL);
    for (int term = 0; term < DETECTOR_TERMS; term++) terms[term] = 0.0;
    for (int s = 0; s < DETECTOR_SCORED; s++) {
        double deviation = sqrt(fmax(mean_square[s] - mean[s] * mean[s], 0.0));
        double spread = fmax((log(deviation + FLOOR) - way->spread_center[s]) / way->spread_scale[s], 0.0);
        double distance = fabs(x[s] - mean[s]) / way->distance_scale[s];
        double shift = fabs(mean[s] - long_mean[s]) / way->shift_scale[s];
        terms[1] += spread * spread;
        terms[2] += log1p(distance);
        terms[4] += log1p(shift);
        if (errors) {
            terms[0] += log1p(errors[s]);
            terms[3] = fmax(terms[3], errors[s] * errors[s] + distance * distance);
        }
    }
    terms[0] /= DETECTOR_SCORED;
    terms[1] /= DETECTOR_SCORED;
    terms[2] /= DETECTOR_SCORED;
    terms[4] /= DETECTOR_SCORED;
}

/* How rare a term is: 0 below the first knot, linear between knots, a power law above the last. */
static double surprise(const DetectorTail *tail, double value) {
    int last = tail->count - 1, at = 0;
    double rare;
    if (value < tail->knots[0]) return 0.0;
    if (value >= tail->knots[last]) {
        rare = tail->surprises[last] + log(value / tail->knots[last]) / tail->slope;
    } else {
        while (value >= tail->knots[at + 1]) at++;
        rare = tail->surprises[at] + (value - tail->knots[at]) * (tail->surprises[at + 1] - tail->surprises[at]) /
                                         (tail->knots[at + 1] - tail->knots[at]);
    }
    return fmin(rare, tail->most);
}

double detector_score(const DetectorWay *way, DetectorRows terms, long long row, long long end) {
    long long last = row + way->smooth_after < end ? row + way->smooth_after : end - 1;
    double sum = 0.0;
    for (int term = 0; term < DETECTOR_TERMS; term++) {
        int needs_error = term == 0 || term == 3;
        long long first = at_least(row - way->smooth_before, needs_error ? way->warm_up : 0);
        double mean = 0.0;
        for (long long at = first; at <= last; at++) mean += terms.data[at % terms.capacity * DETECTOR_TERMS + term];
        sum += surprise(&way->tails[term], mean / (double)(last - first + 1));
    }
    return sum / DETECTOR_TERMS;
}

void detector_init(Detector *detector) {
    memset(detector, 0, sizeof *detector);
    for (int c = 0; c < DETECTOR_CHANNELS; c++) detector->age[c] = DETECTOR_MAX_GAP + 1;
}

void detector_reset(Detector *detector) { detector_init(detector); }

/* Return the mean errors of the last rows of the window that ends here. */
static const double *last_errors(const Detector *detector) {
    static float window[DETECTOR_SIZE * DETECTOR_CHANNELS], error[DETECTOR_SIZE * DETECTOR_CHANNELS];
    static double mean[DETECTOR_SCORED];
    int oldest = (int)(detector->rows % DETECTOR_SIZE) * DETECTOR_CHANNELS, rows = detector_causal.error_rows;
    int whole = DETECTOR_SIZE * DETECTOR_CHANNELS;
    memcpy(window, detector->values + oldest, (size_t)(whole - oldest) * sizeof *window);
    memcpy(window + whole - oldest, detector->values, (size_t)oldest * sizeof *window);
    detector_errors(window, error);
    for (int s = 0; s < DETECTOR_SCORED; s++) mean[s] = 0.0;
    detector_add(error + whole - rows * DETECTOR_CHANNELS, rows, mean);
    for (int s = 0; s < DETECTOR_SCORED; s++) mean[s] /= rows;
    return mean;
}

int detector_push(Detector *detector, const double row[DETECTOR_CHANNELS], double *score) {
    static double filled[DETECTOR_CHANNELS];
    DetectorRows z = {detector->z, DETECTOR_HISTORY}, terms = {detector->terms, DETECTOR_SMOOTHING};
    long long number = detector->rows;
    int is_warm = number >= detector_causal.warm_up;
    *score = NAN;
    if (!detector_fill(detector, row, filled)) {
        detector->rows = 0; /* the next row that can be filled begins a stretch */
        return DETECTOR_UNSCORED;
    }
    detector_scale(filled, detector->values + number % DETECTOR_SIZE * DETECTOR_CHANNELS,
                   detector->z + number % DETECTOR_HISTORY * DETECTOR_SCORED);
    detector->rows++;
    detector_terms(&detector_causal, z, number, number + 1, is_warm ? last_errors(detector) : NULL,
                   detector->terms + number % DETECTOR_SMOOTHING * DETECTOR_TERMS);
    if (!is_warm) return DETECTOR_UNSCORED;
    *score = detector_score(&detector_causal, terms, number, number + 1);
    return *score > detector_causal.threshold;
}
