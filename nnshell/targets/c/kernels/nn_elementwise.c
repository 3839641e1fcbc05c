/* One result for each element. */
#include "nn_arithmetic.h"

void nn_run_staircase(const nn_staircase *p, const void *x, void *y)
{
    int32_t i;
    for (i = 0; i < p->count; i++) {
        const int32_t value = nn_load(x, p->input_type, (size_t) i);
        int32_t below = 0, above = p->steps; /* thresholds reached for certain, and at most */
        while (below < above) {
            const int32_t middle = below + (above - below) / 2;
            if (value >= p->thresholds[middle])
                below = middle + 1;
            else
                above = middle;
        }
        nn_store(y, p->output_type, (size_t) i, p->low + below);
    }
}

void nn_run_rectifier(const nn_rectifier *p, const void *x, void *y)
{
    int32_t i;
    for (i = 0; i < p->count; i++) {
        int32_t value = nn_load(x, p->input_type, (size_t) i);
        value = value < p->lower ? p->lower : value;
        value = value > p->upper ? p->upper : value;
        if (p->rescales) {
            const int32_t centred = nn_wrapped((uint32_t) value - (uint32_t) p->input_zero);
            const int64_t scaled = nn_scaled_by(centred, p->multiplier, p->shift);
            value = nn_saturated(scaled + p->output_zero, p->low, p->high);
        }
        nn_store(y, p->output_type, (size_t) i, value);
    }
}

void nn_run_leaky(const nn_leaky *p, const void *x, void *y)
{
    int32_t place[NN_AXES] = {0};
    ptrdiff_t a = 0, b = 0;
    size_t written = 0;
    const ptrdiff_t step = p->loops.first[NN_AXES - 1], slope = p->loops.second[NN_AXES - 1];
    int32_t i;
    do {
        for (i = 0; i < p->loops.extents[NN_AXES - 1]; i++) {
            int64_t value = nn_load(x, p->input_type, (size_t) (a + i * step));
            value -= p->input_zero;
            if (value < 0)
                value = nn_rounded_wide(value * p->slopes[b + i * slope], 7);
            value = nn_scaled_by(nn_wrapped((uint32_t) value), p->multiplier, p->shift);
            value = nn_saturated(value + p->output_zero, p->low, p->high);
            nn_store(y, p->output_type, written++, (int32_t) value);
        }
    } while (nn_next(&p->loops, place, &a, &b));
}

void nn_run_gate(const nn_gate *p, const void *x, void *y)
{
    int32_t i;
    for (i = 0; i < p->count; i++) {
        const int64_t centred = (int64_t) nn_load(x, p->input_type, (size_t) i) - p->input_zero;
        int64_t gate = centred + p->offset, scaled;
        gate = gate > p->upper ? p->upper : gate;
        gate = gate < 0 && p->upper >= 0 ? 0 : gate;
        if (p->times_input)
            gate = nn_wrapped((uint32_t) gate * (uint32_t) centred);
        scaled = nn_scaled_by(nn_wrapped((uint32_t) gate), p->multiplier, p->shift);
        nn_store(y, p->output_type, (size_t) i,
                 nn_saturated(scaled + p->output_zero, p->low, p->high));
    }
}

void nn_run_look_up(const nn_look_up *p, const void *x, void *y)
{
    int32_t i;
    for (i = 0; i < p->count; i++) {
        int64_t argument = (int64_t) nn_load(x, p->input_type, (size_t) i) - p->input_zero;
        int64_t index, scaled;
        int32_t entry, result;
        argument *= (int64_t) 1 << p->argument_shift;
        index = (3 * (argument < 0 ? -argument : argument)) >> (p->twice ? 8 : 9);
        entry = p->table[index > 255 ? 255 : index];
        if (p->twice)
            result = argument > 0 ? entry - 32768 : 32768 - entry;
        else
            result = (argument > 0 ? entry : 65536 - entry) >> 1;
        scaled = nn_scaled_by(result, p->multiplier, p->shift);
        nn_store(y, p->output_type, (size_t) i,
                 nn_saturated(scaled + p->output_zero, p->low, p->high));
    }
}

static int32_t summed(const nn_sum *p, int32_t a, int32_t b)
{
    int64_t first = a, second = b, total;
    if (p->scaled)
        second = nn_scaled_by(b, p->input_multiplier, p->input_shift);
    else
        first = nn_scaled_by(a, p->input_multiplier, p->input_shift);
    total = p->sign < 0 ? first - second : first + second;
    total = nn_scaled_by(nn_wrapped((uint32_t) total), p->multiplier, p->shift);
    return nn_saturated(total + p->bias, p->low, p->high);
}

void nn_run_sum(const nn_sum *p, const void *a, const void *b, void *y)
{
    int32_t place[NN_AXES] = {0};
    ptrdiff_t from = 0, other = 0;
    size_t written = 0;
    const ptrdiff_t step = p->loops.first[NN_AXES - 1], other_step = p->loops.second[NN_AXES - 1];
    const int32_t count = p->loops.extents[NN_AXES - 1];
    const int narrow = p->first_type == NN_INT8 && p->second_type == NN_INT8 &&
                       p->output_type == NN_INT8;
    int32_t i;
    do {
        if (narrow) {
            const int8_t *first = (const int8_t *) a + from, *second = (const int8_t *) b + other;
            int8_t *out = (int8_t *) y + written;
            for (i = 0; i < count; i++)
                out[i] = (int8_t) summed(p, first[i * step], second[i * other_step]);
        } else {
            for (i = 0; i < count; i++) {
                const int32_t first = nn_load(a, p->first_type, (size_t) (from + i * step));
                const int32_t second = nn_load(b, p->second_type, (size_t) (other + i * other_step));
                nn_store(y, p->output_type, written + (size_t) i, summed(p, first, second));
            }
        }
        written += (size_t) count;
    } while (nn_next(&p->loops, place, &from, &other));
}

void nn_run_product(const nn_product *p, const void *a, const void *b, void *y)
{
    int32_t place[NN_AXES] = {0};
    ptrdiff_t from = 0, other = 0;
    size_t written = 0;
    const ptrdiff_t step = p->loops.first[NN_AXES - 1], other_step = p->loops.second[NN_AXES - 1];
    int32_t i;
    do {
        for (i = 0; i < p->loops.extents[NN_AXES - 1]; i++) {
            const int32_t first = nn_load(a, p->first_type, (size_t) (from + i * step));
            const int32_t second = nn_load(b, p->second_type, (size_t) (other + i * other_step));
            const uint32_t product = ((uint32_t) first - (uint32_t) p->first_zero) *
                                     ((uint32_t) second - (uint32_t) p->second_zero);
            const int64_t scaled = nn_scaled_by(nn_wrapped(product), p->multiplier, p->shift);
            nn_store(y, p->output_type, written++,
                     nn_saturated(scaled + p->output_zero, p->low, p->high));
        }
    } while (nn_next(&p->loops, place, &from, &other));
}

static int64_t divided(const nn_quotient *p, int64_t dividend, int64_t divisor)
{
    int64_t value, quotient;
    if (divisor == 0)
        return dividend == 0 ? 0 : dividend > 0 ? (int64_t) 1 << 40 : -((int64_t) 1 << 40);
    value = dividend * p->multiplier * 256;
    quotient = value / divisor;
    if (value % divisor != 0 && (value < 0) != (divisor < 0))
        quotient -= 1;
    return nn_rounded_wide(quotient, p->shift);
}

void nn_run_quotient(const nn_quotient *p, const void *a, const void *b, void *y)
{
    int32_t place[NN_AXES] = {0};
    ptrdiff_t from = 0, other = 0;
    size_t written = 0;
    const ptrdiff_t step = p->loops.first[NN_AXES - 1], other_step = p->loops.second[NN_AXES - 1];
    int32_t i;
    do {
        for (i = 0; i < p->loops.extents[NN_AXES - 1]; i++) {
            const int64_t first = nn_load(a, p->first_type, (size_t) (from + i * step));
            const int64_t second = nn_load(b, p->second_type, (size_t) (other + i * other_step));
            const int64_t value = divided(p, first - p->first_zero, second - p->second_zero);
            nn_store(y, p->output_type, written++,
                     nn_saturated(value + p->output_zero, p->low, p->high));
        }
    } while (nn_next(&p->loops, place, &from, &other));
}

void nn_run_scaled(const nn_scaled *p, const void *x, void *y)
{
    int32_t place[NN_AXES] = {0};
    ptrdiff_t from = 0, other = 0;
    size_t written = 0;
    const ptrdiff_t step = p->loops.first[NN_AXES - 1], other_step = p->loops.second[NN_AXES - 1];
    int32_t i;
    do {
        for (i = 0; i < p->loops.extents[NN_AXES - 1]; i++) {
            const int32_t value = nn_load(x, p->first_type, (size_t) (from + i * step));
            const int16_t *factor = p->factors + 2 * (other + i * other_step);
            const int32_t centred = nn_wrapped((uint32_t) value - (uint32_t) p->first_zero);
            const int64_t scaled = nn_scaled_by(centred, factor[0], factor[1]);
            nn_store(y, p->output_type, written++,
                     nn_saturated(scaled + p->output_zero, p->low, p->high));
        }
    } while (nn_next(&p->loops, place, &from, &other));
}
