/* A network as data, for the engine that compiles the kernels once and runs every network. */
#ifndef NN_NATIVE_H
#define NN_NATIVE_H

#include "nn_fast.h"

/* One call: a kernel's number, its parameters, and where its operands lie. */
typedef struct {
    int32_t kernel;
    int32_t first_base;
    int32_t second_base;
    int32_t output_base;
    int64_t first_offset;
    int64_t second_offset;
    int64_t output_offset;
    const void *parameters;
} nn_step;

/* Calls kernel number kernel; written from the headers when the library is compiled. */
void nn_dispatch(int32_t kernel, const void *p, const void *a, const void *b, void *y,
                 void *scratch);

void nn_quantize(const float *x, void *y, int64_t count, int32_t type, double scale,
                 double zero_point, double low, double high);

void nn_run_network(const nn_step *steps, int32_t count, int64_t samples, uint8_t **bases,
                    const int64_t *strides, int32_t places, void *scratch);

#endif
