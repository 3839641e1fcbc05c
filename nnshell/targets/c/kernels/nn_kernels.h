/* Integer kernels of quantized networks: 8-bit data, 32-bit sums, results rounded and saturated.
 *
 * Feature maps lie in memory as height x width x channels. Every kernel takes its parameters, one
 * or two inputs and its output; the parameters are constants that the network's file holds.
 * Sums and products of 32 bits wrap around; a right shift of a negative number rounds down, as
 * every compiler for two's complement machines does it. */
#ifndef NN_KERNELS_H
#define NN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define NN_AXES 8

/* Element types. */
enum { NN_INT8, NN_UINT8, NN_INT16, NN_UINT16, NN_INT32 };

/* Nested loops over a result in memory order, outermost first; steps of the operands in elements,
 * 0 where an operand has one element for the whole axis. Unused axes come first, with extent 1. */
typedef struct {
    int32_t extents[NN_AXES];
    int32_t first[NN_AXES];
    int32_t second[NN_AXES];
} nn_loops;

/* Copies elements of 1, 2 or 4 bytes: from and to are steps in elements for each axis. */
typedef struct {
    int32_t element_bytes;
    int32_t from_start;
    int32_t to_start;
    int32_t extents[NN_AXES];
    int32_t from[NN_AXES];
    int32_t to[NN_AXES];
} nn_move;

/* Sets count elements of 1, 2 or 4 bytes to value. */
typedef struct {
    int32_t count;
    int32_t element_bytes;
    int32_t value;
} nn_fill;

/* Reads a table of 256 results (1, 2 or 4 bytes each) with an 8-bit input, lowest input first. */
typedef struct {
    int32_t count;
    int32_t element_bytes;
    int32_t lowest;
    const void *table;
} nn_table;

/* low plus the number of thresholds that the input reaches: any rising function. */
typedef struct {
    int32_t count;
    int32_t input_type;
    int32_t output_type;
    int32_t low;
    int32_t steps;
    const int32_t *thresholds;
} nn_staircase;

/* Bounds, then (unless both records are the same) another scale and zero point. */
typedef struct {
    int32_t count;
    int32_t input_type;
    int32_t output_type;
    int32_t lower;
    int32_t upper;
    int32_t rescales;
    int32_t input_zero;
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero;
    int32_t low;
    int32_t high;
} nn_rectifier;

/* x, or x * slope / 128 where x is negative; second steps through the slopes. */
typedef struct {
    nn_loops loops;
    int32_t input_type;
    int32_t output_type;
    int32_t input_zero;
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero;
    int32_t low;
    int32_t high;
    const int32_t *slopes;
} nn_leaky;

/* min(max(x + offset, 0), upper), times x where times_input is 1: hard sigmoid and hard swish. */
typedef struct {
    int32_t count;
    int32_t input_type;
    int32_t output_type;
    int32_t input_zero;
    int32_t offset;
    int32_t upper;
    int32_t times_input;
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero;
    int32_t low;
    int32_t high;
} nn_gate;

/* Sigmoid, or tanh where twice is 1, of a Q12 argument from a table of 256 entries (Q16). */
typedef struct {
    int32_t count;
    int32_t input_type;
    int32_t output_type;
    int32_t input_zero;
    int32_t argument_shift; /* to the left, up to Q12 */
    int32_t twice;
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero;
    int32_t low;
    int32_t high;
    const uint16_t *table;
} nn_look_up;

/* Sum (sign 1) or difference (sign -1): the scaled operand is brought to the other one's scale. */
typedef struct {
    nn_loops loops;
    int32_t first_type;
    int32_t second_type;
    int32_t output_type;
    int32_t scaled; /* 0: the first operand, 1: the second */
    int32_t sign;
    int32_t input_multiplier;
    int32_t input_shift;
    int32_t multiplier;
    int32_t shift;
    int32_t bias;
    int32_t low;
    int32_t high;
} nn_sum;

typedef struct {
    nn_loops loops;
    int32_t first_type;
    int32_t second_type;
    int32_t output_type;
    int32_t first_zero;
    int32_t second_zero;
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero;
    int32_t low;
    int32_t high;
} nn_product;

/* Quotient of two feature maps: floor(a * multiplier * 256 / b), shifted; shift has the 8 bits. */
typedef struct {
    nn_loops loops;
    int32_t first_type;
    int32_t second_type;
    int32_t output_type;
    int32_t first_zero;
    int32_t second_zero;
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero;
    int32_t low;
    int32_t high;
} nn_quotient;

/* Product with constants: factors holds a signed multiplier and a shift for each. */
typedef struct {
    nn_loops loops;
    int32_t first_type;
    int32_t output_type;
    int32_t first_zero;
    int32_t output_zero;
    int32_t low;
    int32_t high;
    const int16_t *factors;
} nn_scaled;

/* A stack of matrix products: for each of the leading axes (loops; steps in elements) rows x inner
 * times inner x columns; one multiplier and shift, or one for each column. */
typedef struct {
    nn_loops loops;
    int32_t first_type;
    int32_t second_type;
    int32_t output_type;
    int32_t rows;
    int32_t inner;
    int32_t columns;
    int32_t first_row;
    int32_t first_step;
    int32_t second_step;
    int32_t second_column;
    int32_t first_zero;
    int32_t second_zero;
    int32_t output_zero;
    int32_t low;
    int32_t high;
    int32_t per_column;
    const uint8_t *multipliers;
    const int8_t *shifts;
} nn_matmul;

/* Softmax along an axis of length elements, step apart; outer x inner such axes. */
typedef struct {
    int32_t outer;
    int32_t length;
    int32_t inner;
    int32_t input_type;
    int32_t output_type;
    int32_t scale_shift; /* to the left where positive, up to Q15 */
    int32_t drop;        /* fraction bits too many at the end */
    int32_t low;
    int32_t high;
} nn_softmax;

/* A window over a feature map. */
typedef struct {
    int32_t input_height;
    int32_t input_width;
    int32_t output_height;
    int32_t output_width;
    int32_t kernel_height;
    int32_t kernel_width;
    int32_t stride_height;
    int32_t stride_width;
    int32_t dilation_height;
    int32_t dilation_width;
    int32_t pad_top;
    int32_t pad_left;
} nn_window;

/* Convolution: weights are output channel x kernel row x kernel column x input channel of the
 * group. One multiplier and shift for each output channel, or one where per_channel is 0. */
typedef struct {
    nn_window window;
    int32_t input_type;
    int32_t output_type;
    int32_t input_channels;
    int32_t output_channels;
    int32_t groups;
    int32_t pad_value;
    int32_t low;
    int32_t high;
    int32_t per_channel;
    int32_t converts; /* a sum beyond 32 bits becomes the smallest number; 0: it wraps around */
    const int8_t *weights;
    const int32_t *bias;
    const uint8_t *multipliers;
    const int8_t *shifts;
} nn_conv2d;

/* Convolution of each channel alone: weights are kernel row x kernel column x channel. */
typedef struct {
    nn_window window;
    int32_t input_type;
    int32_t output_type;
    int32_t channels;
    int32_t pad_value;
    int32_t low;
    int32_t high;
    int32_t per_channel;
    const int8_t *weights;
    const int32_t *bias;
    const uint8_t *multipliers;
    const int8_t *shifts;
} nn_depthwise;

/* The largest element under the window; pad_value takes part where the window leaves the map. */
typedef struct {
    nn_window window;
    int32_t element_type;
    int32_t channels;
    int32_t pad_value;
} nn_max_pool;

/* RS(sum * floor(65536 / count), 16); count is that of the elements inside the map, or of the
 * whole window where count_pads is 1. */
typedef struct {
    nn_window window;
    int32_t input_type;
    int32_t output_type;
    int32_t channels;
    int32_t zero;
    int32_t count_pads;
    int32_t low;
    int32_t high;
} nn_average_pool;

typedef struct {
    int32_t pixels;
    int32_t channels;
    int32_t input_type;
    int32_t output_type;
    int32_t input_zero;
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero;
    int32_t low;
    int32_t high;
} nn_global_average;

/* Nearest neighbour: the row and column of the input for each row and column of the output. */
typedef struct {
    int32_t input_width;
    int32_t output_height;
    int32_t output_width;
    int32_t pixel_bytes;
    const int32_t *rows;
    const int32_t *columns;
} nn_nearest;

/* Bilinear: two rows and a weight (of 256, for the second) for each output row; columns alike. */
typedef struct {
    int32_t element_type;
    int32_t input_width;
    int32_t output_height;
    int32_t output_width;
    int32_t channels;
    const int32_t *rows;
    const int32_t *columns;
} nn_bilinear;

/* Pixels to integers: ((x >> right) << left) + offset, of 5-6-5 bit words where unpacks is 1. */
typedef struct {
    int32_t pixels; /* samples of a pixel included */
    int32_t input_type;
    int32_t output_type;
    int32_t unpacks;
    int32_t right;
    int32_t left;
    int32_t offset;
} nn_image_format;

void nn_run_move(const nn_move *p, const void *x, void *y);
void nn_run_fill(const nn_fill *p, void *y);
void nn_run_table(const nn_table *p, const void *x, void *y);
void nn_run_staircase(const nn_staircase *p, const void *x, void *y);
void nn_run_rectifier(const nn_rectifier *p, const void *x, void *y);
void nn_run_leaky(const nn_leaky *p, const void *x, void *y);
void nn_run_gate(const nn_gate *p, const void *x, void *y);
void nn_run_look_up(const nn_look_up *p, const void *x, void *y);
void nn_run_sum(const nn_sum *p, const void *a, const void *b, void *y);
void nn_run_product(const nn_product *p, const void *a, const void *b, void *y);
void nn_run_quotient(const nn_quotient *p, const void *a, const void *b, void *y);
void nn_run_scaled(const nn_scaled *p, const void *x, void *y);
void nn_run_matmul(const nn_matmul *p, const void *a, const void *b, void *y);
void nn_run_softmax(const nn_softmax *p, const void *x, void *y);
void nn_run_conv2d(const nn_conv2d *p, const void *x, void *y);
void nn_run_depthwise(const nn_depthwise *p, const void *x, void *y);
void nn_run_max_pool(const nn_max_pool *p, const void *x, void *y);
void nn_run_average_pool(const nn_average_pool *p, const void *x, void *y);
void nn_run_global_average(const nn_global_average *p, const void *x, void *y);
void nn_run_nearest(const nn_nearest *p, const void *x, void *y);
void nn_run_bilinear(const nn_bilinear *p, const void *x, void *y);
void nn_run_image_format(const nn_image_format *p, const void *x, void *y);

#endif
