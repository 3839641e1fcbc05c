/* Convolutions, and linear layers as convolutions of one pixel. */
#include "nn_arithmetic.h"

static int32_t finished(uint32_t sum, int32_t multiplier, int32_t shift, int32_t low, int32_t high)
{
    return nn_saturated(nn_scaled_by(nn_wrapped(sum), multiplier, shift), low, high);
}

static uint32_t dot(const int8_t *x, const int8_t *w, int32_t count)
{
    int32_t sum = 0; /* of at most 2**16 products of 2**14: no overflow */
    uint32_t total = 0;
    while (count > 65536) {
        total += dot(x, w, 65536);
        x += 65536;
        w += 65536;
        count -= 65536;
    }
    for (; count >= 4; count -= 4, x += 4, w += 4)
        sum += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
    for (int32_t i = 0; i < count; i++)
        sum += x[i] * w[i];
    return total + (uint32_t) sum;
}

static uint32_t dot_of_any(const void *x, int32_t type, size_t start, const int8_t *w, int32_t count)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += (uint32_t) nn_load(x, type, start + (size_t) i) * (uint32_t) (int32_t) w[i];
    return sum;
}

static uint32_t sum_of(const int8_t *w, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += w[i];
    return (uint32_t) sum;
}

static uint32_t products(const nn_conv2d *p, const void *x, size_t start, const int8_t *w,
                         int32_t count)
{
    if (p->input_type == NN_INT8)
        return dot((const int8_t *) x + start, w, count);
    return dot_of_any(x, p->input_type, start, w, count);
}

static uint32_t border(const nn_conv2d *p, const int8_t *w, int32_t count)
{
    return p->pad_value ? (uint32_t) p->pad_value * sum_of(w, count) : 0;
}

/* One row of the window, whose taps lie side by side in the input as in the weights. */
static uint32_t row_sum(const nn_conv2d *p, const void *x, size_t line, int32_t column,
                        const int8_t *w)
{
    const int32_t depth = p->input_channels, taps = p->window.kernel_width;
    const int32_t right = p->window.input_width - column;
    int32_t first = column < 0 ? -column : 0, last = right < taps ? right : taps;
    size_t start;
    if (first >= last)
        return border(p, w, taps * depth);
    start = (line + (size_t) (column + first)) * (size_t) depth;
    return border(p, w, first * depth) + border(p, w + last * depth, (taps - last) * depth) +
           products(p, x, start, w + first * depth, (last - first) * depth);
}

/* The same tap by tap: they are apart, or see some channels only. */
static uint32_t tap_sums(const nn_conv2d *p, const void *x, size_t line, int32_t column,
                         int32_t first_channel, const int8_t *w)
{
    const nn_window *v = &p->window;
    const int32_t depth = p->input_channels / p->groups;
    uint32_t sum = 0;
    for (int32_t j = 0; j < v->kernel_width; j++, w += depth) {
        const int32_t c = column + j * v->dilation_width;
        if (c < 0 || c >= v->input_width)
            sum += border(p, w, depth);
        else
            sum += products(p, x,
                            (line + (size_t) c) * (size_t) p->input_channels + (size_t) first_channel,
                            w, depth);
    }
    return sum;
}

/* A sum as NNTool converts it from floating point. */
static uint32_t converted(int64_t sum)
{
    return sum < INT32_MIN || sum > INT32_MAX ? (uint32_t) INT32_MIN : (uint32_t) sum;
}

/* What the window at (row, column) of the input sees, times the weights of one filter. */
static uint32_t window_sum(const nn_conv2d *p, const void *x, int32_t row, int32_t column,
                           int32_t first_channel, const int8_t *w)
{
    const nn_window *v = &p->window;
    const int32_t taps = v->kernel_width * (p->input_channels / p->groups);
    const int side_by_side = v->dilation_width == 1 && p->groups == 1;
    uint32_t sum = 0;
    for (int32_t i = 0; i < v->kernel_height; i++, w += taps) {
        const int32_t r = row + i * v->dilation_height;
        const size_t line = (size_t) r * (size_t) v->input_width;
        if (r < 0 || r >= v->input_height)
            sum += border(p, w, taps);
        else if (side_by_side)
            sum += row_sum(p, x, line, column, w);
        else
            sum += tap_sums(p, x, line, column, first_channel, w);
    }
    return sum;
}

void nn_run_conv2d(const nn_conv2d *p, const void *x, void *y)
{
    const nn_window *v = &p->window;
    const int32_t depth = p->input_channels / p->groups;
    const int32_t filters = p->output_channels / p->groups;
    const size_t taps = (size_t) depth * (size_t) v->kernel_height * (size_t) v->kernel_width;
    size_t written = 0;
    for (int32_t row = 0; row < v->output_height; row++) {
        for (int32_t column = 0; column < v->output_width; column++) {
            const int32_t top = row * v->stride_height - v->pad_top;
            const int32_t left = column * v->stride_width - v->pad_left;
            for (int32_t k = 0; k < p->output_channels; k++) {
                const int8_t *w = p->weights + (size_t) k * taps;
                const size_t at = p->per_channel ? (size_t) k : 0;
                const uint32_t seen = window_sum(p, x, top, left, k / filters * depth, w);
                uint32_t sum = (uint32_t) p->bias[k] + seen;
                if (p->converts)
                    sum = converted((int64_t) p->bias[k] + nn_wrapped(seen));
                nn_store(y, p->output_type, written++,
                         finished(sum, p->multipliers[at], p->shifts[at], p->low, p->high));
            }
        }
    }
}

enum { NN_SOME = 16 }; /* channels at a time */

/* Adds one tap of some channels to their sums. */
static void add_tap(const nn_depthwise *p, const void *x, size_t at, const int8_t *w, int32_t count,
                    int32_t *sums)
{
    if (p->input_type == NN_INT8) {
        const int8_t *in = (const int8_t *) x + at;
        for (int32_t k = 0; k < count; k++)
            sums[k] += in[k] * w[k];
        return;
    }
    for (int32_t k = 0; k < count; k++) {
        const uint32_t value = (uint32_t) nn_load(x, p->input_type, at + (size_t) k);
        const int32_t weight = w[k];
        sums[k] = nn_wrapped((uint32_t) sums[k] + value * (uint32_t) weight);
    }
}

/* Sums of products of some channels from first on; of at most 2**16 taps: no overflow. */
static void channel_sums(const nn_depthwise *p, const void *x, int32_t row, int32_t column,
                         int32_t first, int32_t count, int32_t *sums)
{
    const nn_window *v = &p->window;
    const int8_t *w = p->weights + first;
    for (int32_t i = 0; i < v->kernel_height; i++) {
        const int32_t r = row + i * v->dilation_height;
        for (int32_t j = 0; j < v->kernel_width; j++, w += p->channels) {
            const int32_t c = column + j * v->dilation_width;
            if (r >= 0 && r < v->input_height && c >= 0 && c < v->input_width) {
                const size_t pixel = (size_t) r * (size_t) v->input_width + (size_t) c;
                add_tap(p, x, pixel * (size_t) p->channels + (size_t) first, w, count, sums);
            } else if (p->pad_value) {
                for (int32_t k = 0; k < count; k++)
                    sums[k] += p->pad_value * w[k];
            }
        }
    }
}

void nn_run_depthwise(const nn_depthwise *p, const void *x, void *y)
{
    const nn_window *v = &p->window;
    size_t written = 0;
    for (int32_t row = 0; row < v->output_height; row++) {
        for (int32_t column = 0; column < v->output_width; column++) {
            const int32_t top = row * v->stride_height - v->pad_top;
            const int32_t left = column * v->stride_width - v->pad_left;
            for (int32_t first = 0; first < p->channels; first += NN_SOME) {
                const int32_t left_over = p->channels - first;
                const int32_t count = left_over < NN_SOME ? left_over : NN_SOME;
                int32_t sums[NN_SOME] = {0};
                channel_sums(p, x, top, left, first, count, sums);
                for (int32_t k = 0; k < count; k++) {
                    const size_t at = p->per_channel ? (size_t) (first + k) : 0;
                    const uint32_t sum = (uint32_t) p->bias[first + k] + (uint32_t) sums[k];
                    nn_store(y, p->output_type, written++,
                             finished(sum, p->multipliers[at], p->shifts[at], p->low, p->high));
                }
            }
        }
    }
}

/* One element of a product of matrices. */
static uint32_t product_of(const nn_matmul *p, const void *a, const void *b, ptrdiff_t row,
                           ptrdiff_t column)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < p->inner; i++) {
        const int32_t first = nn_load(a, p->first_type, (size_t) (row + (ptrdiff_t) i * p->first_step));
        const int32_t second =
            nn_load(b, p->second_type, (size_t) (column + (ptrdiff_t) i * p->second_step));
        sum += ((uint32_t) first - (uint32_t) p->first_zero) *
               ((uint32_t) second - (uint32_t) p->second_zero);
    }
    return sum;
}

void nn_run_matmul(const nn_matmul *p, const void *a, const void *b, void *y)
{
    int32_t place[NN_AXES] = {0};
    ptrdiff_t first = 0, second = 0;
    size_t written = 0;
    do {
        for (int32_t row = 0; row < p->rows; row++) {
            for (int32_t column = 0; column < p->columns; column++) {
                const size_t at = p->per_column ? (size_t) column : 0;
                const uint32_t sum = product_of(p, a, b, first + (ptrdiff_t) row * p->first_row,
                                                second + (ptrdiff_t) column * p->second_column);
                const int64_t scaled =
                    nn_scaled_by(nn_wrapped(sum), p->multipliers[at], p->shifts[at]);
                nn_store(y, p->output_type, written++,
                         nn_saturated(scaled + p->output_zero, p->low, p->high));
            }
        }
    } while (nn_next(&p->loops, place, &first, &second));
}
