/* Runs a network given as data: steps over buffers, sample by sample. */
#include "nn_native.h"

enum { SOME = 64 };

static inline int32_t bounded(double value, double zero_point, double low, double high)
{
    const double moved = __builtin_floor(value) + zero_point;
    return (int32_t) (moved < low ? low : moved > high ? high : moved);
}

static inline void put(void *y, int32_t type, int64_t at, int32_t value)
{
    if (type == NN_INT8)
        ((int8_t *) y)[at] = (int8_t) value;
    else if (type == NN_INT16)
        ((int16_t *) y)[at] = (int16_t) value;
    else
        ((int32_t *) y)[at] = value;
}

/* Up to 64 results in single precision; 0 where one is so near to a change from one integer to the
 * next that only the division decides. Up to 256 steps the error is below 5e-5; beyond, every
 * zero point leaves a result that saturates. */
static int multiplied(const float *x, int8_t *y, int64_t count, float inverse, float zero_point,
                      float low, float high)
{
    int32_t near = 0;
    for (int64_t i = 0; i < count; i++) {
        const float value = x[i] * inverse + 0.5f, whole = __builtin_floorf(value);
        const float moved = whole + zero_point, rest = value - whole;
        const float above = moved < low ? low : moved;
        near |= (rest < 1e-4f) | (rest > 1.0f - 1e-4f);
        y[i] = (int8_t) (int32_t) (above > high ? high : above);
    }
    return !near;
}

/* Integers of real numbers: floor(x / scale + 0.5) + zero point, within bounds. */
void nn_quantize(const float *x, void *y, int64_t count, int32_t type, double scale,
                 double zero_point, double low, double high)
{
    const float inverse = (float) (1.0 / scale);
    for (int64_t start = 0; start < count; start += SOME) {
        const int64_t some = count - start < SOME ? count - start : SOME;
        if (type == NN_INT8 && inverse > 1e-30f && inverse < 1e30f &&
            multiplied(x + start, (int8_t *) y + start, some, inverse, (float) zero_point, (float) low,
                       (float) high))
            continue;
        for (int64_t i = start; i < start + some; i++)
            put(y, type, i, bounded((double) x[i] / scale + 0.5, zero_point, low, high));
    }
}

/* Moves every base by its step after each sample. */
void nn_run_network(const nn_step *steps, int32_t count, int64_t samples, uint8_t **bases,
                    const int64_t *strides, int32_t places, void *scratch)
{
    for (int64_t sample = 0; sample < samples; sample++) {
        for (int32_t i = 0; i < count; i++) {
            const nn_step *s = steps + i;
            nn_dispatch(s->kernel, s->parameters, bases[s->first_base] + s->first_offset,
                        bases[s->second_base] + s->second_offset,
                        bases[s->output_base] + s->output_offset, scratch);
        }
        for (int32_t i = 0; i < places; i++)
            bases[i] += strides[i];
    }
}
