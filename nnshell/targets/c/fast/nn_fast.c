/* Convolutions with dot products of vector registers; the variant is that of the compiler's flags.
 *
 * VNNI and NEON multiply 4 bytes at a time, AVX2 pairs of 16 bits, as its products of bytes
 * saturate. All three read 4 bytes of the scratch map and vectors of 4 bytes for each channel. */
#include "nn_fast.h"

#include <string.h>

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>
#define LANES 16
#define ELEMENT_BYTES 1
#define OFFSET 128
#define PIXELS 8
#define VECTORS 2
#define SQUARE 4 /* vectors, with as many pixels */
#elif defined(__AVX2__)
#include <immintrin.h>
#define LANES 8
#define ELEMENT_BYTES 2
#define OFFSET 0
#define PIXELS 6
#define VECTORS 2
#define SQUARE 2
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#define LANES 4
#define ELEMENT_BYTES 1
#define OFFSET 0
#define PIXELS 8
#define VECTORS 2
#define SQUARE 4
#endif

#ifndef LANES

int nn_fast_lanes(void)
{
    return 0;
}

int nn_fast_element_bytes(void)
{
    return 1;
}

int nn_fast_offset(void)
{
    return 0;
}

void nn_run_fast_conv2d(const nn_fast_conv2d *p, const void *x, void *y, void *scratch)
{
    (void) p, (void) x, (void) y, (void) scratch;
}

void nn_run_fast_depthwise(const nn_fast_depthwise *p, const void *x, void *y, void *scratch)
{
    (void) p, (void) x, (void) y, (void) scratch;
}

#else

typedef int32_t vector __attribute__((vector_size(4 * LANES)));
typedef int32_t loose_vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

int nn_fast_lanes(void)
{
    return LANES;
}

int nn_fast_element_bytes(void)
{
    return ELEMENT_BYTES;
}

int nn_fast_offset(void)
{
    return OFFSET;
}

INLINE vector load(const void *data)
{
    return *(const loose_vector *) data;
}

/* The 4 bytes at data in every lane. */
INLINE vector spread(const void *data)
{
    int32_t word;
    memcpy(&word, data, 4);
    return word - (vector) {0};
}

/* sum plus the products of the bytes (or pairs of 16 bits) in each lane. */
INLINE vector dot(vector sum, vector x, vector w)
{
#if defined(__AVX512VNNI__) && LANES == 16
    return (vector) _mm512_dpbusd_epi32((__m512i) sum, (__m512i) x, (__m512i) w);
#elif LANES == 8
    return sum + (vector) _mm256_madd_epi16((__m256i) x, (__m256i) w);
#else
    return (vector) vdotq_s32((int32x4_t) sum, (int8x16_t) x, (int8x16_t) w);
#endif
}

/* The scratch map: border, then the rows of the input, elements widened or shifted by 128. */
INLINE void copy_row(const int8_t *from, void *to, int64_t count)
{
#if ELEMENT_BYTES == 2
    int16_t *out = to;
    for (int64_t i = 0; i < count; i++)
        out[i] = from[i];
#elif OFFSET
    uint8_t *out = to;
    for (int64_t i = 0; i < count; i++)
        out[i] = (uint8_t) (from[i] ^ 128);
#else
    memcpy(to, from, (size_t) count);
#endif
}

static void fill_row(int32_t value, void *to, int64_t count)
{
#if ELEMENT_BYTES == 2
    int16_t *out = to;
    for (int64_t i = 0; i < count; i++)
        out[i] = (int16_t) value;
#else
    memset(to, (value + OFFSET) & 255, (size_t) count);
#endif
}

/* A row whose columns go to planes, pixels in pieces of a constant size. */
INLINE void spread_pieces(const nn_scratch *s, const int8_t *from, uint8_t *to, const int piece)
{
    const int64_t channels = s->channels, step = s->planes * channels;
    const int64_t plane = (int64_t) (s->width / s->planes) * channels;
    for (int32_t first = 0; first < s->planes && first < s->input_width; first++) {
        const int32_t place = s->left + first;
        const int8_t *pixel = from + first * channels;
        const int8_t *end = from + s->input_width * channels;
        uint8_t *out = to + (place % s->planes * plane + place / s->planes * channels) * ELEMENT_BYTES;
        for (; pixel < end; pixel += step, out += channels * ELEMENT_BYTES) {
            int64_t done = 0;
            for (; done + piece <= channels; done += piece)
                copy_row(pixel + done, out + done * ELEMENT_BYTES, piece);
            if (done < channels)
                copy_row(pixel + done, out + done * ELEMENT_BYTES, channels - done);
        }
    }
}

static void spread_row(const nn_scratch *s, const int8_t *from, uint8_t *to)
{
    if (s->channels >= 32)
        spread_pieces(s, from, to, 32);
    else if (s->channels >= 16)
        spread_pieces(s, from, to, 16);
    else
        spread_pieces(s, from, to, 8);
}

static const uint8_t *prepare(const nn_scratch *s, const int8_t *x, uint8_t *scratch)
{
    const int64_t channels = s->channels, line = (int64_t) s->width * channels;
    const int64_t inside = (int64_t) s->input_width * channels, left = s->left * channels;
    const int64_t bottom = s->height - s->top - s->input_height;
    const int whole = s->width == s->input_width && s->planes == 1;
    if (whole && !OFFSET && ELEMENT_BYTES == 1 && s->height == s->input_height)
        return (const uint8_t *) x;
    if (s->filled)
        return scratch;
    if (whole) {
        copy_row(x, scratch + s->top * line * ELEMENT_BYTES, inside * s->input_height);
    } else {
        for (int64_t row = 0; row < s->input_height; row++) {
            uint8_t *to = scratch + (s->top + row) * line * ELEMENT_BYTES;
            if (s->planes > 1) {
                if (s->width != s->input_width)
                    fill_row(s->border, to, line);
                spread_row(s, x + row * inside, to);
                continue;
            }
            fill_row(s->border, to, left);
            copy_row(x + row * inside, to + left * ELEMENT_BYTES, inside);
            fill_row(s->border, to + (left + inside) * ELEMENT_BYTES, line - left - inside);
        }
    }
    if (s->top)
        fill_row(s->border, scratch, s->top * line);
    if (bottom > 0)
        fill_row(s->border, scratch + (s->height - bottom) * line * ELEMENT_BYTES, bottom * line);
    return scratch;
}

/* RS(sum * multiplier, shift) for the channels from start on. */
INLINE vector finish(const nn_finish *f, int32_t start, vector sum)
{
    const vector product = sum * load(f->multipliers + start);
    return (product + load(f->terms + start)) >> load(f->shifts + start);
}

/* Results of the first count lanes, as 8 bits within bounds or as 32 bits. */
INLINE void store_some(const nn_finish *f, void *y, int64_t at, vector result, int32_t count)
{
#if LANES == 16
    const __mmask16 mask = count >= LANES ? 0xFFFF : (__mmask16) ((1 << count) - 1);
    if (f->output_type == NN_INT8) {
        const __m128i narrow = _mm512_cvtsepi32_epi8((__m512i) result);
        const __m128i above = _mm_max_epi8(narrow, _mm_set1_epi8((char) f->low));
        const __m128i inside = _mm_min_epi8(above, _mm_set1_epi8((char) f->high));
        _mm_mask_storeu_epi8((int8_t *) y + at, mask, inside);
    } else {
        _mm512_mask_storeu_epi32((int32_t *) y + at, mask, (__m512i) result);
    }
#else
    int8_t *narrow = (int8_t *) y + at;
    if (f->output_type == NN_INT8) {
#if LANES == 8
        const __m128i low = _mm256_castsi256_si128((__m256i) result);
        const __m128i words = _mm_packs_epi32(low, _mm256_extracti128_si256((__m256i) result, 1));
        const __m128i above = _mm_max_epi8(_mm_packs_epi16(words, words), _mm_set1_epi8((char) f->low));
        const __m128i inside = _mm_min_epi8(above, _mm_set1_epi8((char) f->high));
        const int64_t bits = _mm_cvtsi128_si64(inside);
#else
        const int16x4_t words = vqmovn_s32((int32x4_t) result);
        const int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
        const int8x8_t above = vmax_s8(bytes, vdup_n_s8((int8_t) f->low));
        const int64_t bits = vget_lane_s64(vreinterpret_s64_s8(vmin_s8(above, vdup_n_s8((int8_t) f->high))), 0);
#endif
        if (count >= LANES)
            memcpy(narrow, &bits, LANES);
        else
            for (int32_t i = 0; i < count; i++)
                narrow[i] = (int8_t) (bits >> (8 * i));
    } else if (count >= LANES) {
        *(loose_vector *) ((int32_t *) y + at) = result;
    } else {
        for (int32_t i = 0; i < count; i++)
            ((int32_t *) y)[at + i] = result[i];
    }
#endif
}

/* Some pixels times some vectors of channels; both are constants where this is inlined. */
INLINE void tile(const nn_fast_conv2d *p, const uint8_t *x, int32_t pixel, int32_t block, void *y,
                 const int pixels, const int vectors)
{
    const int64_t block_bytes = (int64_t) p->total_steps * LANES * 4;
    const int8_t *w = p->weights + block * block_bytes;
    const uint8_t *at[PIXELS];
    vector sums[PIXELS][8];
#pragma GCC unroll 8
    for (int i = 0; i < pixels; i++) {
        at[i] = x + p->pixel_offsets[pixel + i];
#pragma GCC unroll 8
        for (int n = 0; n < vectors; n++)
            sums[i][n] = load(p->finish.bias + (block + n) * LANES);
    }
    for (int32_t segment = 0; segment < p->segments; segment++) {
        int64_t place = p->segment_offsets[segment];
        const int64_t end = place + 4 * (int64_t) p->segment_steps[segment];
        for (; place < end; place += 4, w += 4 * LANES) {
            vector weights[8];
#pragma GCC unroll 8
            for (int n = 0; n < vectors; n++)
                weights[n] = load(w + n * block_bytes);
#pragma GCC unroll 8
            for (int i = 0; i < pixels; i++) {
                const vector values = spread(at[i] + place);
#pragma GCC unroll 8
                for (int n = 0; n < vectors; n++)
                    sums[i][n] = dot(sums[i][n], values, weights[n]);
            }
        }
    }
#pragma GCC unroll 8
    for (int n = 0; n < vectors; n++) {
        const int32_t start = (block + n) * LANES;
        const int64_t place = (int64_t) pixel * p->output_step + p->output_start + start;
#pragma GCC unroll 8
        for (int i = 0; i < pixels; i++)
            if (pixel + i < p->pixels)
                store_some(&p->finish, y, place + (int64_t) i * p->output_step,
                           finish(&p->finish, start, sums[i][n]), p->output_channels - start);
    }
}

#define TILES(name, pixels, vectors)                                                               \
    static void name(const nn_fast_conv2d *p, const uint8_t *x, int32_t pixel, int32_t block,      \
                     void *y)                                                                      \
    {                                                                                              \
        tile(p, x, pixel, block, y, pixels, vectors);                                              \
    }

TILES(wide_tile, PIXELS, VECTORS)
TILES(narrow_tile, PIXELS, 1)
TILES(short_tile, 2, VECTORS)
TILES(small_tile, 2, 1)
TILES(square_tile, 4, SQUARE)
TILES(line_tile, 1, 8)

void nn_run_fast_conv2d(const nn_fast_conv2d *p, const void *x, void *y, void *scratch)
{
    const uint8_t *map = prepare(&p->scratch, x, scratch);
    const int32_t blocks = (p->output_channels + LANES - 1) / LANES;
    int32_t block = 0;
    if (p->pixels == 1)
        for (; block + 8 <= blocks; block += 8)
            line_tile(p, map, 0, block, y);
    if (p->pixels == 3 || p->pixels == 4)
        for (; block + SQUARE <= blocks; block += SQUARE)
            square_tile(p, map, 0, block, y);
    while (block < blocks) {
        const int wide = block + VECTORS <= blocks;
        int32_t pixel = 0;
        for (; pixel + PIXELS <= p->pixels || p->pixels - pixel > PIXELS / 2; pixel += PIXELS)
            (wide ? wide_tile : narrow_tile)(p, map, pixel, block, y);
        for (; pixel < p->pixels; pixel += 2)
            (wide ? short_tile : small_tile)(p, map, pixel, block, y);
        block += wide ? VECTORS : 1;
    }
}

/* One block of channels at one place: taps in groups of 4 bytes or 2 times 16 bits. */
#if LANES == 16
#define BLOCK 64
#define GROUP_BYTES 256
INLINE void channels_at(const nn_fast_depthwise *p, const uint8_t *x, const int8_t *w,
                        int32_t start, int8_t *y, int32_t count)
{
    __m512i sums[4];
    const int32_t *taps = p->tap_offsets;
    for (int n = 0; n < 4; n++)
        sums[n] = (__m512i) load(p->finish.bias + start + n * LANES);
    for (int32_t group = 0; group < p->groups; group++, taps += 4, w += GROUP_BYTES) {
        const __m512i a = _mm512_loadu_si512(x + taps[0]), b = _mm512_loadu_si512(x + taps[1]);
        const __m512i c = _mm512_loadu_si512(x + taps[2]), d = _mm512_loadu_si512(x + taps[3]);
        const __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
        const __m512i AB = _mm512_unpackhi_epi8(a, b), CD = _mm512_unpackhi_epi8(c, d);
        const __m512i *v = (const __m512i *) (const void *) w;
        sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_unpacklo_epi16(ab, cd), _mm512_loadu_si512(v));
        sums[1] = _mm512_dpbusd_epi32(sums[1], _mm512_unpackhi_epi16(ab, cd), _mm512_loadu_si512(v + 1));
        sums[2] = _mm512_dpbusd_epi32(sums[2], _mm512_unpacklo_epi16(AB, CD), _mm512_loadu_si512(v + 2));
        sums[3] = _mm512_dpbusd_epi32(sums[3], _mm512_unpackhi_epi16(AB, CD), _mm512_loadu_si512(v + 3));
    }
    for (int n = 0; n < 4; n++)
        sums[n] = (__m512i) finish(&p->finish, start + n * LANES, (vector) sums[n]);
    {
        const __m512i low = _mm512_packs_epi32(sums[0], sums[1]);
        const __m512i all = _mm512_packs_epi16(low, _mm512_packs_epi32(sums[2], sums[3]));
        const __m512i above = _mm512_max_epi8(all, _mm512_set1_epi8((char) p->finish.low));
        const __m512i result = _mm512_min_epi8(above, _mm512_set1_epi8((char) p->finish.high));
        const __mmask64 mask = count >= 64 ? ~(__mmask64) 0 : ((__mmask64) 1 << count) - 1;
        _mm512_mask_storeu_epi8(y, mask, result);
    }
}
#elif LANES == 8
#define BLOCK 16
#define GROUP_BYTES 64
INLINE void channels_at(const nn_fast_depthwise *p, const uint8_t *x, const int8_t *w,
                        int32_t start, int8_t *y, int32_t count)
{
    vector low = load(p->finish.bias + start), high = load(p->finish.bias + start + LANES);
    const int32_t *taps = p->tap_offsets;
    for (int32_t group = 0; group < p->groups; group++, taps += 2, w += GROUP_BYTES) {
        const __m256i a = (__m256i) load(x + taps[0]), b = (__m256i) load(x + taps[1]);
        low += (vector) _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), (__m256i) load(w));
        high += (vector) _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), (__m256i) load(w + 32));
    }
    low = finish(&p->finish, start, low);
    high = finish(&p->finish, start + LANES, high);
    {
        const __m256i words = _mm256_packs_epi32((__m256i) low, (__m256i) high);
        const __m128i all = _mm_packs_epi16(_mm256_castsi256_si128(words),
                                            _mm256_extracti128_si256(words, 1));
        const __m128i above = _mm_max_epi8(all, _mm_set1_epi8((char) p->finish.low));
        const __m128i result = _mm_min_epi8(above, _mm_set1_epi8((char) p->finish.high));
        int8_t narrow[16];
        if (count >= 16) {
            _mm_storeu_si128((__m128i *) (void *) y, result);
            return;
        }
        _mm_storeu_si128((__m128i *) (void *) narrow, result);
        for (int32_t i = 0; i < count; i++)
            y[i] = narrow[i];
    }
}
#else
#define BLOCK 16
#define GROUP_BYTES 16
INLINE void channels_at(const nn_fast_depthwise *p, const uint8_t *x, const int8_t *w,
                        int32_t start, int8_t *y, int32_t count)
{
    int32x4_t sums[4];
    const int32_t *taps = p->tap_offsets;
    for (int n = 0; n < 4; n++)
        sums[n] = vld1q_s32(p->finish.bias + start + 4 * n);
    for (int32_t group = 0; group < p->groups; group++, taps++, w += GROUP_BYTES) {
        const int8x16_t a = vld1q_s8((const int8_t *) x + taps[0]), b = vld1q_s8(w);
        const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
        const int16x8_t high = vmull_s8(vget_high_s8(a), vget_high_s8(b));
        sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
        sums[1] = vaddw_s16(sums[1], vget_high_s16(low));
        sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
        sums[3] = vaddw_s16(sums[3], vget_high_s16(high));
    }
    for (int n = 0; n < 4; n++) {
        const int32_t left = count - 4 * n;
        if (left > 0)
            store_some(&p->finish, y, 4 * n, finish(&p->finish, start + 4 * n, (vector) sums[n]),
                       left > 4 ? 4 : left);
    }
}
#endif

void nn_run_fast_depthwise(const nn_fast_depthwise *p, const void *x, void *y, void *scratch)
{
    const uint8_t *map = prepare(&p->scratch, x, scratch);
    const int32_t blocks = (p->channels + BLOCK - 1) / BLOCK;
    int8_t *out = y;
    for (int32_t row = 0; row < p->rows; row++) {
        for (int32_t column = 0; column < p->columns; column++) {
            const uint8_t *at = map + (int64_t) row * p->row_bytes + (int64_t) column * p->column_bytes;
            int32_t turn = 0;
            for (int32_t block = 0; block < blocks; block++) {
                channels_at(p, at + (int64_t) block * BLOCK * ELEMENT_BYTES,
                            p->weights + (int64_t) turn * GROUP_BYTES * p->groups, turn * BLOCK,
                            out + (int64_t) block * BLOCK, p->channels - block * BLOCK);
                turn = turn + 1 == p->period ? 0 : turn + 1;
            }
            out += p->channels;
        }
    }
}

#endif

/* What compilers turn into vectors by themselves. */

static int32_t rounding_term(int32_t shift)
{
    return shift > 0 ? (int32_t) ((uint32_t) 1 << (shift - 1)) : 0;
}

static int32_t rounded(int32_t value, int32_t shift, int32_t term)
{
    return (int32_t) ((uint32_t) value + (uint32_t) term) >> shift;
}

void nn_run_fast_sum(const nn_sum *p, const void *a, const void *b, void *y)
{
    const int32_t count = p->loops.extents[NN_AXES - 1];
    const int8_t *big = p->scaled ? b : a, *small = p->scaled ? a : b;
    const uint32_t mu = (uint32_t) p->input_multiplier, all = (uint32_t) p->multiplier;
    const int32_t shift = p->input_shift, term = rounding_term(shift);
    const int32_t last = p->shift, last_term = rounding_term(last);
    const int32_t big_sign = p->scaled ? p->sign : 1, small_sign = p->scaled ? 1 : p->sign;
    const int32_t bias = p->bias, low = p->low, high = p->high;
    int8_t *out = y;
    for (int32_t i = 0; i < count; i++) {
        const int32_t first = rounded((int32_t) ((uint32_t) (int32_t) big[i] * mu), shift, term);
        const int32_t total = small[i] * small_sign + first * big_sign;
        const int32_t scaled = (int32_t) ((uint32_t) total * all);
        const int32_t result = rounded(scaled, last, last_term) + bias;
        out[i] = (int8_t) (result < low ? low : result > high ? high : result);
    }
}

/* 32 bytes, whatever the processor. */
typedef int8_t lot __attribute__((vector_size(32)));

/* Bytes from start on of one pixel of the output, count of them; whole: nothing is padding. */
static inline __attribute__((always_inline)) void largest(const nn_max_pool *p, const int8_t *x,
                                                          int32_t top, int32_t left, int8_t *out,
                                                          int32_t start, const int count,
                                                          const int whole)
{
    const nn_window *v = &p->window;
    const int64_t channels = p->channels;
    lot best = (int8_t) -128 - (lot) {0};
    for (int32_t i = 0; i < v->kernel_height; i++) {
        const int32_t r = top + i * v->dilation_height;
        const int8_t *in = x + ((int64_t) r * v->input_width + left) * channels + start;
        for (int32_t j = 0; j < v->kernel_width; j++, in += v->dilation_width * channels) {
            const int32_t c = left + j * v->dilation_width;
            lot first, value = (int8_t) p->pad_value - (lot) {0};
            if (whole || (r >= 0 && r < v->input_height && c >= 0 && c < v->input_width))
                memcpy(&value, in, (size_t) count);
            first = best > value;
            best = (best & first) | (value & ~first);
        }
    }
    memcpy(out + start, &best, (size_t) count);
}

static inline __attribute__((always_inline)) void pooled(const nn_max_pool *p, const int8_t *x,
                                                         int32_t top, int32_t left, int8_t *out,
                                                         const int whole)
{
    int32_t start = 0;
    for (; start + 32 <= p->channels; start += 32)
        largest(p, x, top, left, out, start, 32, whole);
    for (; start + 16 <= p->channels; start += 16)
        largest(p, x, top, left, out, start, 16, whole);
    for (; start + 8 <= p->channels; start += 8)
        largest(p, x, top, left, out, start, 8, whole);
    for (; start < p->channels; start++)
        largest(p, x, top, left, out, start, 1, whole);
}

void nn_run_fast_max_pool(const nn_max_pool *p, const void *x, void *y)
{
    const nn_window *v = &p->window;
    const int32_t tall = (v->kernel_height - 1) * v->dilation_height;
    const int32_t wide = (v->kernel_width - 1) * v->dilation_width;
    int8_t *out = y;
    for (int32_t row = 0; row < v->output_height; row++) {
        const int32_t top = row * v->stride_height - v->pad_top;
        for (int32_t column = 0; column < v->output_width; column++, out += p->channels) {
            const int32_t left = column * v->stride_width - v->pad_left;
            const int whole = top >= 0 && left >= 0 && top + tall < v->input_height &&
                              left + wide < v->input_width;
            if (whole)
                pooled(p, x, top, left, out, 1);
            else
                pooled(p, x, top, left, out, 0);
        }
    }
}

void nn_run_fast_average(const nn_global_average *p, const void *x, void *y)
{
    enum { BATCH = 64 };
    const int32_t channels = p->channels;
    int8_t *out = y;
    for (int32_t start = 0; start < channels; start += BATCH) {
        const int32_t count = channels - start < BATCH ? channels - start : BATCH;
        int32_t sums[BATCH] = {0};
        for (int32_t i = 0; i < p->pixels; i++) {
            const int8_t *in = (const int8_t *) x + (int64_t) i * channels + start;
            for (int32_t k = 0; k < count; k++)
                sums[k] += in[k];
        }
        for (int32_t k = 0; k < count; k++) {
            const int64_t sum = (int64_t) sums[k] - (int64_t) p->input_zero * p->pixels;
            const uint32_t product = (uint32_t) (sum * 128 / p->pixels) * (uint32_t) p->multiplier;
            const int32_t value = (int32_t) product, shift = p->shift;
            const int32_t result = rounded(value, shift, rounding_term(shift));
            const int32_t moved = result + p->output_zero;
            out[start + k] = (int8_t) (moved < p->low ? p->low : moved > p->high ? p->high : moved);
        }
    }
}

/* Sums of up to 64 channels under the window, and how many elements they have. */
static int32_t window_sums(const nn_average_pool *p, const int8_t *x, int32_t top, int32_t left,
                           int32_t channels, int32_t *sums)
{
    const nn_window *v = &p->window;
    int32_t count = 0;
    for (int32_t i = 0; i < v->kernel_height; i++) {
        for (int32_t j = 0; j < v->kernel_width; j++) {
            const int32_t r = top + i * v->dilation_height, c = left + j * v->dilation_width;
            const int8_t *in = x + ((int64_t) r * v->input_width + c) * p->channels;
            if (r < 0 || r >= v->input_height || c < 0 || c >= v->input_width) {
                for (int32_t k = 0; k < channels && p->count_pads; k++)
                    sums[k] += p->zero;
                count += p->count_pads;
                continue;
            }
            for (int32_t k = 0; k < channels; k++)
                sums[k] += in[k];
            count++;
        }
    }
    return count;
}

void nn_run_fast_average_pool(const nn_average_pool *p, const void *x, void *y)
{
    enum { BATCH = 64 };
    const nn_window *v = &p->window;
    int8_t *out = y;
    for (int32_t row = 0; row < v->output_height; row++) {
        const int32_t top = row * v->stride_height - v->pad_top;
        for (int32_t column = 0; column < v->output_width; column++, out += p->channels) {
            const int32_t left = column * v->stride_width - v->pad_left;
            for (int32_t start = 0; start < p->channels; start += BATCH) {
                const int32_t some = p->channels - start < BATCH ? p->channels - start : BATCH;
                int8_t means[BATCH];
                int32_t sums[BATCH] = {0};
                const int32_t count = window_sums(p, (const int8_t *) x + start, top, left, some, sums);
                const int32_t factor = 65536 / (count ? count : 1);
                for (int32_t k = 0; k < BATCH; k++) {
                    const int32_t mean = (sums[k] * factor + 32768) >> 16;
                    means[k] = (int8_t) (mean < p->low ? p->low : mean > p->high ? p->high : mean);
                }
                memcpy(out + start, means, (size_t) some);
            }
        }
    }
}

/* Three planes of bytes become pixels of three bytes. */
void nn_run_fast_interleave(const nn_move *p, const void *x, void *y)
{
    const int64_t count = p->extents[NN_AXES - 2], step = p->from[NN_AXES - 1];
    const int8_t *red = x, *green = red + step, *blue = green + step;
    int8_t *restrict out = y;
    for (int64_t i = 0; i < count; i++) {
        out[3 * i] = red[i];
        out[3 * i + 1] = green[i];
        out[3 * i + 2] = blue[i];
    }
}
