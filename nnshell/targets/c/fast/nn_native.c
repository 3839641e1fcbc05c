/* Runs a network given as data: steps over buffers, sample by sample. */
#include "nn_native.h"

/* Integers of real numbers: floor(x / scale + 0.5) + zero point, within bounds. */
void nn_quantize(const float *x, void *y, int64_t count, int32_t type, double scale,
                 double zero_point, double low, double high)
{
    int8_t *narrow = y;
    for (int64_t i = 0; i < count; i++) {
        const double value = __builtin_floor((double) x[i] / scale + 0.5) + zero_point;
        const double bounded = value < low ? low : value > high ? high : value;
        if (type == NN_INT8)
            narrow[i] = (int8_t) (int32_t) bounded;
        else if (type == NN_INT16)
            ((int16_t *) y)[i] = (int16_t) (int32_t) bounded;
        else
            ((int32_t *) y)[i] = (int32_t) bounded;
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
