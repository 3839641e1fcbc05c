/* The arithmetic that all kernels share. */
#ifndef NN_ARITHMETIC_H
#define NN_ARITHMETIC_H

#include "nn_kernels.h"

/* The low 32 bits as a signed number. */
static inline int32_t nn_wrapped(uint32_t bits)
{
    return (int32_t) bits;
}

/* value / 2**shift, halves towards plus infinity; a negative shift multiplies. */
static inline int64_t nn_rounded_wide(int64_t value, int32_t shift)
{
    if (shift <= 0)
        return value * ((int64_t) 1 << (shift < -31 ? 31 : -shift));
    if (shift > 62)
        shift = 62;
    return (value + ((int64_t) 1 << (shift - 1))) >> shift;
}

/* The same of 32 bits: the addition that rounds wraps around, and shifts beyond 31 leave the sign. */
static inline int64_t nn_rounded(int32_t value, int32_t shift)
{
    if (shift <= 0)
        return (int64_t) value * ((int64_t) 1 << (shift < -31 ? 31 : -shift));
    if (shift > 32)
        return value >> 31;
    return nn_wrapped((uint32_t) value + ((uint32_t) 1 << (shift - 1))) >> (shift > 31 ? 31 : shift);
}

/* value * multiplier in 32 bits, wrapping around, then rounded. */
static inline int64_t nn_scaled_by(int32_t value, int32_t multiplier, int32_t shift)
{
    return nn_rounded(nn_wrapped((uint32_t) value * (uint32_t) multiplier), shift);
}

static inline int32_t nn_saturated(int64_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : (int32_t) value;
}

static inline int32_t nn_load(const void *data, int32_t type, size_t index)
{
    switch (type) {
    case NN_INT8:
        return ((const int8_t *) data)[index];
    case NN_UINT8:
        return ((const uint8_t *) data)[index];
    case NN_INT16:
        return ((const int16_t *) data)[index];
    case NN_UINT16:
        return ((const uint16_t *) data)[index];
    default:
        return ((const int32_t *) data)[index];
    }
}

static inline void nn_store(void *data, int32_t type, size_t index, int32_t value)
{
    switch (type) {
    case NN_INT8:
        ((int8_t *) data)[index] = (int8_t) value;
        break;
    case NN_UINT8:
        ((uint8_t *) data)[index] = (uint8_t) value;
        break;
    case NN_INT16:
        ((int16_t *) data)[index] = (int16_t) value;
        break;
    case NN_UINT16:
        ((uint16_t *) data)[index] = (uint16_t) value;
        break;
    default:
        ((int32_t *) data)[index] = value;
        break;
    }
}

/* Steps to the next row of nested loops: all axes but the last; 0 when all rows were visited. */
static inline int nn_next(const nn_loops *loops, int32_t *place, ptrdiff_t *a, ptrdiff_t *b)
{
    int axis;
    for (axis = NN_AXES - 2; axis >= 0; axis--) {
        *a += loops->first[axis];
        *b += loops->second[axis];
        if (++place[axis] < loops->extents[axis])
            return 1;
        *a -= (ptrdiff_t) loops->first[axis] * loops->extents[axis];
        *b -= (ptrdiff_t) loops->second[axis] * loops->extents[axis];
        place[axis] = 0;
    }
    return 0;
}

#endif
