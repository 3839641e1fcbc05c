/* Pools and softmax. */
#include "nn_arithmetic.h"

static int inside(const nn_window *v, int32_t row, int32_t column)
{
    return row >= 0 && row < v->input_height && column >= 0 && column < v->input_width;
}

static int32_t largest(const nn_max_pool *p, const void *x, int32_t top, int32_t left, size_t channel)
{
    const nn_window *v = &p->window;
    int32_t best = INT32_MIN;
    for (int32_t i = 0; i < v->kernel_height; i++) {
        for (int32_t j = 0; j < v->kernel_width; j++) {
            const int32_t r = top + i * v->dilation_height, c = left + j * v->dilation_width;
            int32_t value = p->pad_value;
            if (inside(v, r, c)) {
                const size_t pixel = (size_t) r * (size_t) v->input_width + (size_t) c;
                value = nn_load(x, p->element_type, pixel * (size_t) p->channels + channel);
            }
            best = value > best ? value : best;
        }
    }
    return best;
}

void nn_run_max_pool(const nn_max_pool *p, const void *x, void *y)
{
    const nn_window *v = &p->window;
    size_t written = 0;
    for (int32_t row = 0; row < v->output_height; row++) {
        for (int32_t column = 0; column < v->output_width; column++) {
            const int32_t top = row * v->stride_height - v->pad_top;
            const int32_t left = column * v->stride_width - v->pad_left;
            for (int32_t c = 0; c < p->channels; c++) {
                const int32_t best = largest(p, x, top, left, (size_t) c);
                nn_store(y, p->element_type, written++, best);
            }
        }
    }
}

static int32_t mean_of(const nn_average_pool *p, const void *x, int32_t top, int32_t left,
                       size_t channel)
{
    const nn_window *v = &p->window;
    int64_t sum = 0;
    int32_t count = 0;
    for (int32_t i = 0; i < v->kernel_height; i++) {
        for (int32_t j = 0; j < v->kernel_width; j++) {
            const int32_t r = top + i * v->dilation_height, c = left + j * v->dilation_width;
            if (inside(v, r, c)) {
                const size_t pixel = (size_t) r * (size_t) v->input_width + (size_t) c;
                sum += nn_load(x, p->input_type, pixel * (size_t) p->channels + channel);
                count++;
            } else if (p->count_pads) {
                sum += p->zero;
                count++;
            }
        }
    }
    return nn_saturated(nn_rounded_wide(sum * (65536 / (count ? count : 1)), 16), p->low, p->high);
}

void nn_run_average_pool(const nn_average_pool *p, const void *x, void *y)
{
    const nn_window *v = &p->window;
    size_t written = 0;
    for (int32_t row = 0; row < v->output_height; row++) {
        for (int32_t column = 0; column < v->output_width; column++) {
            const int32_t top = row * v->stride_height - v->pad_top;
            const int32_t left = column * v->stride_width - v->pad_left;
            for (int32_t c = 0; c < p->channels; c++) {
                const int32_t mean = mean_of(p, x, top, left, (size_t) c);
                nn_store(y, p->output_type, written++, mean);
            }
        }
    }
}

void nn_run_global_average(const nn_global_average *p, const void *x, void *y)
{
    for (int32_t c = 0; c < p->channels; c++) {
        int64_t sum = 0, scaled;
        for (int32_t i = 0; i < p->pixels; i++) {
            const size_t at = (size_t) i * (size_t) p->channels + (size_t) c;
            sum += (int64_t) nn_load(x, p->input_type, at) - p->input_zero;
        }
        sum = sum * 128 / p->pixels;
        scaled = nn_scaled_by(nn_wrapped((uint32_t) sum), p->multiplier, p->shift);
        nn_store(y, p->output_type, (size_t) c,
                 nn_saturated(scaled + p->output_zero, p->low, p->high));
    }
}

#define NN_ONE 32768
#define NN_ALMOST_ONE 32767
#define NN_HALF 16384

/* e**-y in Q15 of y >= 0 in Q15: the reciprocal of e**n (table) times e**f (Taylor series). */
static int64_t exponential(int64_t distance)
{
    static const int32_t coefficients[8] = {32767, 16384, 5461, 1365, 273, 46, 7, 1};
    static const uint16_t whole[12] = {1, 2, 7, 20, 54, 148, 403, 1096, 2980, 8103, 22026, 59874};
    static const uint16_t part[12] = {0,     23537, 12749, 2803,  19600, 13538,
                                      14051, 20747, 31391, 2750, 15263, 4644};
    int64_t n = distance >> 15, fraction = distance & NN_ALMOST_ONE, power, series = 0;
    if (distance == 0)
        return NN_ONE;
    if (fraction >= NN_HALF) {
        n += 1;
        fraction -= NN_ONE;
    }
    n = n > 11 ? 11 : n;
    power = fraction;
    for (int i = 0; i < 8; i++) {
        series += power * coefficients[i];
        power = (power * fraction + NN_HALF) >> 15;
    }
    series = ((series + NN_HALF) >> 15) + NN_ALMOST_ONE;
    series = ((series * part[n] + NN_HALF) >> 15) + series * whole[n];
    return (INT32_MAX / series) >> 1;
}

static int64_t exponential_below(const nn_softmax *p, int32_t highest, int32_t value)
{
    const int64_t difference = (int64_t) highest - value;
    if (p->scale_shift >= 0)
        return exponential(difference * ((int64_t) 1 << p->scale_shift));
    return exponential(p->scale_shift < -62 ? 0 : difference >> -p->scale_shift);
}

static void softmax_of(const nn_softmax *p, const void *x, void *y, size_t start)
{
    const size_t step = (size_t) p->inner;
    int32_t highest = INT32_MIN;
    int64_t sum = 0, inverse;
    for (int32_t i = 0; i < p->length; i++) {
        const int32_t value = nn_load(x, p->input_type, start + (size_t) i * step);
        highest = value > highest ? value : highest;
    }
    for (int32_t i = 0; i < p->length; i++)
        sum += exponential_below(p, highest, nn_load(x, p->input_type, start + (size_t) i * step));
    inverse = (int64_t) NN_ALMOST_ONE * NN_ONE / sum;
    for (int32_t i = 0; i < p->length; i++) {
        const size_t at = start + (size_t) i * step;
        int64_t value = exponential_below(p, highest, nn_load(x, p->input_type, at));
        value = (value * inverse + ((int64_t) 1 << (p->drop - 1))) >> p->drop;
        nn_store(y, p->output_type, at, nn_saturated(value, p->low, p->high));
    }
}

void nn_run_softmax(const nn_softmax *p, const void *x, void *y)
{
    for (int32_t i = 0; i < p->outer; i++) {
        for (int32_t j = 0; j < p->inner; j++) {
            const size_t start = ((size_t) i * (size_t) p->length) * (size_t) p->inner + (size_t) j;
            softmax_of(p, x, y, start);
        }
    }
}
