/* Data that moves or is replaced one by one. */
#include "nn_arithmetic.h"

#include <string.h>

static void move_row(const nn_move *p, const unsigned char *from, unsigned char *to)
{
    const int32_t count = p->extents[NN_AXES - 1];
    const ptrdiff_t a = p->from[NN_AXES - 1], b = p->to[NN_AXES - 1];
    int32_t i;
    if (a == 1 && b == 1) {
        memcpy(to, from, (size_t) count * (size_t) p->element_bytes);
        return;
    }
    if (p->element_bytes == 1) {
        for (i = 0; i < count; i++)
            to[i * b] = from[i * a];
        return;
    }
    for (i = 0; i < count; i++)
        memcpy(to + i * b * p->element_bytes, from + i * a * p->element_bytes,
               (size_t) p->element_bytes);
}

void nn_run_move(const nn_move *p, const void *x, void *y)
{
    int32_t place[NN_AXES] = {0};
    ptrdiff_t from = p->from_start, to = p->to_start;
    int axis;
    do {
        move_row(p, (const unsigned char *) x + from * p->element_bytes,
                 (unsigned char *) y + to * p->element_bytes);
        for (axis = NN_AXES - 2; axis >= 0; axis--) {
            from += p->from[axis];
            to += p->to[axis];
            if (++place[axis] < p->extents[axis])
                break;
            from -= (ptrdiff_t) p->from[axis] * p->extents[axis];
            to -= (ptrdiff_t) p->to[axis] * p->extents[axis];
            place[axis] = 0;
        }
    } while (axis >= 0);
}

void nn_run_fill(const nn_fill *p, void *y)
{
    const int32_t type = p->element_bytes == 1 ? NN_INT8 : p->element_bytes == 2 ? NN_INT16 : NN_INT32;
    int32_t i;
    if (p->element_bytes == 1) {
        memset(y, p->value & 255, (size_t) p->count);
        return;
    }
    for (i = 0; i < p->count; i++)
        nn_store(y, type, (size_t) i, p->value);
}

void nn_run_table(const nn_table *p, const void *x, void *y)
{
    const uint8_t *in = x, *table = p->table;
    const uint8_t lowest = (uint8_t) (p->lowest & 255);
    uint8_t *out = y;
    int32_t i;
    if (p->element_bytes == 1) {
        for (i = 0; i < p->count; i++)
            out[i] = table[(uint8_t) (in[i] - lowest)];
        return;
    }
    for (i = 0; i < p->count; i++)
        memcpy(out + (ptrdiff_t) i * p->element_bytes,
               table + (ptrdiff_t) (uint8_t) (in[i] - lowest) * p->element_bytes,
               (size_t) p->element_bytes);
}

void nn_run_nearest(const nn_nearest *p, const void *x, void *y)
{
    const unsigned char *in = x;
    unsigned char *out = y;
    int32_t row, column;
    for (row = 0; row < p->output_height; row++) {
        const unsigned char *line = in + (ptrdiff_t) p->rows[row] * p->input_width * p->pixel_bytes;
        for (column = 0; column < p->output_width; column++) {
            memcpy(out, line + (ptrdiff_t) p->columns[column] * p->pixel_bytes,
                   (size_t) p->pixel_bytes);
            out += p->pixel_bytes;
        }
    }
}

void nn_run_bilinear(const nn_bilinear *p, const void *x, void *y)
{
    size_t written = 0;
    int32_t row, column, c;
    for (row = 0; row < p->output_height; row++) {
        const int32_t *r = p->rows + 3 * row;
        for (column = 0; column < p->output_width; column++) {
            const int32_t *k = p->columns + 3 * column;
            const size_t left = (size_t) k[0] * (size_t) p->channels;
            const size_t right = (size_t) k[1] * (size_t) p->channels;
            const size_t width = (size_t) p->input_width * (size_t) p->channels;
            const size_t top = (size_t) r[0] * width, bottom = (size_t) r[1] * width;
            for (c = 0; c < p->channels; c++) {
                const size_t at = (size_t) c;
                const int32_t type = p->element_type;
                const int64_t a = (int64_t) nn_load(x, type, top + left + at) * (256 - r[2]) +
                                  (int64_t) nn_load(x, type, bottom + left + at) * r[2];
                const int64_t b = (int64_t) nn_load(x, type, top + right + at) * (256 - r[2]) +
                                  (int64_t) nn_load(x, type, bottom + right + at) * r[2];
                const int64_t sum = a * (256 - k[2]) + b * k[2];
                nn_store(y, type, written++, (int32_t) nn_rounded_wide(sum, 16));
            }
        }
    }
}

static int32_t formatted(const nn_image_format *p, int32_t value)
{
    return (value >> p->right) * (1 << p->left) + p->offset;
}

void nn_run_image_format(const nn_image_format *p, const void *x, void *y)
{
    int32_t i;
    for (i = 0; i < p->pixels; i++) {
        const int32_t value = nn_load(x, p->input_type, (size_t) i);
        if (p->unpacks) {
            const size_t at = 3 * (size_t) i;
            nn_store(y, p->output_type, at, formatted(p, (value >> 11) << 3));
            nn_store(y, p->output_type, at + 1, formatted(p, ((value >> 5) & 63) << 2));
            nn_store(y, p->output_type, at + 2, formatted(p, (value & 31) << 3));
        } else {
            nn_store(y, p->output_type, (size_t) i, formatted(p, value));
        }
    }
}
