/* Kernels for processors with wide registers: the same integers as nn_kernels, faster.
 *
 * A convolution first copies its input into a scratch map with the border around it, then takes
 * several pixels and several vectors of output channels at a time. Weights were packed for it. */
#ifndef NN_FAST_H
#define NN_FAST_H

#include "nn_kernels.h"

/* The input of a convolution with its border, elements of 1 byte (+128) or of 2 bytes. Columns
 * lie in planes: all that leave the same rest of a division by their number, then the next. */
typedef struct {
    int32_t input_height;
    int32_t input_width;
    int32_t channels;
    int32_t top;
    int32_t left;
    int32_t height; /* of the scratch map, border included */
    int32_t width;  /* a multiple of planes */
    int32_t planes; /* 1 where columns lie in order */
    int32_t border; /* value of the border */
    int32_t filled; /* the call before had the same input: the map is there */
} nn_scratch;

/* What comes after the sums, for each output channel: RS(sum * multiplier, shift), bounds.
 * All shifts are at least 2. */
typedef struct {
    int32_t output_type;
    int32_t low;
    int32_t high;
    const int32_t *bias;
    const int32_t *multipliers;
    const int32_t *terms; /* added before the shift, to round */
    const int32_t *shifts;
} nn_finish;

/* Sums over segments of consecutive bytes of the scratch map, 4 bytes at a time. */
typedef struct {
    nn_scratch scratch;
    nn_finish finish;
    int32_t pixels;
    int32_t output_channels;
    int32_t output_step; /* channels of a pixel of the output */
    int32_t output_start;
    int32_t segments;
    int32_t total_steps;
    const int32_t *pixel_offsets;
    const int32_t *segment_offsets;
    const int32_t *segment_steps;
    const int8_t *weights; /* vector of channels x segment x step x lane x 4 bytes */
} nn_fast_conv2d;

/* Each channel alone: groups of taps at offsets in the scratch map. */
typedef struct {
    nn_scratch scratch;
    nn_finish finish;
    int32_t rows;
    int32_t columns; /* of the output, or 1 where a row is taken as one long pixel */
    int32_t row_bytes;
    int32_t column_bytes;
    int32_t channels; /* of a pixel, or all elements of a row */
    int32_t period;   /* blocks until the weights begin again */
    int32_t groups;
    const int32_t *tap_offsets;
    const int8_t *weights; /* block of channels x group of taps x vector */
} nn_fast_depthwise;

int nn_fast_lanes(void);         /* output channels of a vector; 0: there are no fast kernels */
int nn_fast_element_bytes(void); /* of the scratch map */
int nn_fast_offset(void);        /* added to the elements of the scratch map */

void nn_run_fast_conv2d(const nn_fast_conv2d *p, const void *x, void *y, void *scratch);
void nn_run_fast_depthwise(const nn_fast_depthwise *p, const void *x, void *y, void *scratch);
void nn_run_fast_sum(const nn_sum *p, const void *a, const void *b, void *y);
void nn_run_fast_max_pool(const nn_max_pool *p, const void *x, void *y);
void nn_run_fast_average(const nn_global_average *p, const void *x, void *y);
void nn_run_fast_average_pool(const nn_average_pool *p, const void *x, void *y);
void nn_run_fast_interleave(const nn_move *p, const void *x, void *y);

#endif
