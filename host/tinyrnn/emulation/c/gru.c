// SPDX-License-Identifier: MIT
/* One step of a GRU and its head in C: the rival of the kernels, never part of a board's program.
 *
 * The arithmetic is docs/numerics.md's, bit for bit: int8 weights, a power-of-two shift for each row, state Q0.15, gates
 * Q3.12, tanh by table. VARIANT says how the matrices are multiplied:
 *   PLAIN16   the loop as one writes it, activations in int16_t
 *   PLAIN32   the same, activations in int32_t
 *   UNROLL8   a row at a time, eight terms by hand, activations in int32_t; weights stored as w + 128, because the
 *             core loads unsigned bytes with fewer instructions, and 128 * sum(x) taken off once a row
 *   ROWS4     four rows at a time by hand, on the model file's own layout: four rows interleaved, weights w + 128
 */
#include <stdint.h>

#define PLAIN16 1
#define PLAIN32 2
#define UNROLL8 3
#define ROWS4 4

#if VARIANT == PLAIN16
typedef int16_t act_t;
#else
typedef int32_t act_t;
#endif

typedef struct {
    int32_t rows, cols;
    const int32_t *bias;  /* with the rounding half */
    const uint8_t *shift;
    const int8_t *weight; /* row by row */
    const uint8_t *raised; /* row by row, w + 128 */
    const uint8_t *file;   /* the same matrix as the model file has it */
} matrix_t;

typedef struct {
    int32_t low, high, offset, factor, shift;
} channel_t;

typedef struct {
    int32_t inputs, units;
    const channel_t *channels;
    const uint16_t *tanh_table; /* tanh(i / 32), Q0.15, i = 0..256 */
    matrix_t w, u, head;
    act_t *x;      /* inputs */
    act_t *h;      /* units, Q0.15 */
    int32_t *a, *b; /* 3 * units */
    int32_t *y;    /* outputs */
} net_t;

static void normalise(const net_t *net, const int32_t *sample) {
    for (int32_t c = 0; c < net->inputs; c++) {
        const channel_t *t = &net->channels[c];
        int32_t v = sample[c];
        v = v < t->low ? t->low : v > t->high ? t->high : v;
        net->x[c] = ((v - t->offset) * t->factor + ((1 << t->shift) >> 1)) >> t->shift;
    }
}

#if VARIANT == PLAIN16 || VARIANT == PLAIN32
static __attribute__((noinline)) void matvec(const matrix_t *m, const act_t *x, int32_t *y) {
    const int8_t *w = m->weight;
    for (int32_t row = 0; row < m->rows; row++) {
        int32_t acc = m->bias[row];
        for (int32_t k = 0; k < m->cols; k++) {
            acc += w[k] * x[k];
        }
        w += m->cols;
        y[row] = acc >> m->shift[row];
    }
}
#elif VARIANT == UNROLL8
static __attribute__((noinline)) void matvec(const matrix_t *m, const act_t *x, int32_t *y) {
    const uint8_t *w = m->raised;
    int32_t excess = 0;
    for (int32_t k = 0; k < m->cols; k++) {
        excess += x[k];
    }
    excess <<= 7;
    for (int32_t row = 0; row < m->rows; row++) {
        int32_t acc = m->bias[row] - excess;
        const act_t *p = x;
        int32_t k = m->cols;
        for (; k >= 8; k -= 8) {
            acc += w[0] * p[0];
            acc += w[1] * p[1];
            acc += w[2] * p[2];
            acc += w[3] * p[3];
            acc += w[4] * p[4];
            acc += w[5] * p[5];
            acc += w[6] * p[6];
            acc += w[7] * p[7];
            w += 8;
            p += 8;
        }
        for (; k > 0; k--) {
            acc += *w++ * *p++;
        }
        y[row] = acc >> m->shift[row];
    }
}
#elif VARIANT == ROWS4
static __attribute__((noinline)) void matvec(const matrix_t *m, const act_t *x, int32_t *y) {
    const uint8_t *block = m->file + 4;
    int32_t excess = 0;
    for (int32_t k = 0; k < m->cols; k++) {
        excess += x[k];
    }
    excess <<= 7;
    for (int32_t row = 0; row < m->rows; row += 4) {
        const int32_t *bias = (const int32_t *)block;
        const uint8_t *shift = block + 16;
        const uint8_t *w = block + 20;
        const act_t *p = x;
        int32_t r0 = bias[0] - excess, r1 = bias[1] - excess, r2 = bias[2] - excess, r3 = bias[3] - excess;
        int32_t k = m->cols;
        for (; k >= 4; k -= 4) {
            int32_t v = p[0];
            r0 += w[0] * v;
            r1 += w[1] * v;
            r2 += w[2] * v;
            r3 += w[3] * v;
            v = p[1];
            r0 += w[4] * v;
            r1 += w[5] * v;
            r2 += w[6] * v;
            r3 += w[7] * v;
            v = p[2];
            r0 += w[8] * v;
            r1 += w[9] * v;
            r2 += w[10] * v;
            r3 += w[11] * v;
            v = p[3];
            r0 += w[12] * v;
            r1 += w[13] * v;
            r2 += w[14] * v;
            r3 += w[15] * v;
            w += 16;
            p += 4;
        }
        for (; k > 0; k--) {
            int32_t v = *p++;
            r0 += w[0] * v;
            r1 += w[1] * v;
            r2 += w[2] * v;
            r3 += w[3] * v;
            w += 4;
        }
        y[row] = r0 >> shift[0]; /* y has room for whole blocks of four */
        y[row + 1] = r1 >> shift[1];
        y[row + 2] = r2 >> shift[2];
        y[row + 3] = r3 >> shift[3];
        block = w;
    }
}
#else
#error "VARIANT must be PLAIN16, PLAIN32, UNROLL8 or ROWS4"
#endif

static inline int32_t saturate(int32_t v) {
    return v > 32767 ? 32767 : v < -32767 ? -32767 : v;
}

/* tanh of a / 2^bits / 32 by the table, Q0.15 */
static inline int32_t curve(const uint16_t *table, int32_t a, int32_t bits) {
    int32_t s = a < 0 ? -a : a;
    const uint16_t *t = table + (s >> bits);
    int32_t v = t[0] + (((t[1] - t[0]) * (s & ((1 << bits) - 1)) + (1 << (bits - 1))) >> bits);
    return a < 0 ? -v : v;
}

static inline int32_t sigmoid(const uint16_t *table, int32_t a) {
    return (32769 + curve(table, a, 8)) >> 1;
}

static void gates(const net_t *net) {
    const int32_t n = net->units;
    const uint16_t *table = net->tanh_table;
    const int32_t *a = net->a, *b = net->b;
    for (int32_t j = 0; j < n; j++) {
        int32_t r = sigmoid(table, saturate(a[j] + b[j]));
        int32_t z = sigmoid(table, saturate(a[n + j] + b[n + j]));
        int32_t v = saturate(a[2 * n + j] + ((r * saturate(b[2 * n + j]) + 16384) >> 15));
        net->h[j] = ((32768 - z) * curve(table, v, 7) + z * net->h[j] + 16384) >> 15;
    }
}

void step(const net_t *net, const int32_t *sample) {
    normalise(net, sample);
    matvec(&net->w, net->x, net->a);
    matvec(&net->u, net->h, net->b);
    gates(net);
    matvec(&net->head, net->h, net->y);
}
