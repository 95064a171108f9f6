// BatchNorm's passes over channels-last tensors: M rows (N·H·W) of C numbers, float32 or bfloat16, one after the other.
//
//   stats     one read                       mean, 1/√(var + eps), running statistics
//   act       one read, one write            relu((x − mean)·scale + bias), plus what is added
//   backward  two reads; two reads, a write  the mask is taken from the same expression as act's: masks cannot differ
//
// Rounding: one expression `affine` in all passes, by fma where the machine has it. Sums run over short runs of rows in
// float, over runs in double, and over a number of slices that does not depend on the threads: results are bitwise the
// same for any number of threads. bfloat16 is read and written by integer operations, on every machine alike.
#include <cmath>
#include <cstdint>
#include <vector>

using std::int64_t;
using std::uint32_t;

#if defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
static inline float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
static inline float fma1(float a, float b, float c) { return a * b + c; }
#endif

// ---- bfloat16: the upper half of a float. Two neighbours are one 32-bit word, the first in its lower half.

struct bf16 { uint16_t bits; };
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of two bfloat16");
constexpr uint32_t UPPER = 0xffff0000u;

static inline float real(uint32_t bits) {
  float v;
  __builtin_memcpy(&v, &bits, 4);
  return v;
}
static inline uint32_t word(const bf16* row, int64_t pair) {
  uint32_t w;
  __builtin_memcpy(&w, row + 2 * pair, 4);
  return w;
}
static inline float first(uint32_t w) { return real(w << 16); }
static inline float second(uint32_t w) { return real(w & UPPER); }
// To the nearest, ties to even, in the upper half. A NaN's lower half must be 0, else it could overflow to a number:
// true of NaNs out of bfloat16, of arithmetic, and of `tiled`.
static inline uint32_t nearest(float v) {
  uint32_t u;
  __builtin_memcpy(&u, &v, 4);
  return u + 0x7fffu + ((u >> 16) & 1u);
}

static inline float up(float v) { return v; }
static inline float up(bf16 v) { return real(uint32_t(v.bits) << 16); }
static inline void put(float* p, float v) { *p = v; }
static inline void put(bf16* p, float v) { p->bits = uint16_t(nearest(v) >> 16); }
template <class S> static inline float rounded(float v);
template <> inline float rounded<float>(float v) { return v; }
template <> inline float rounded<bf16>(float v) { return real(nearest(v) & UPPER); }

static inline float affine(float d, float scale, float bias) { return fma1(d, scale, bias); }  // d = x − mean

constexpr int64_t WIDE = 128, WIDEST = 4096;     // columns of a wide row: at least, and at most when folded
constexpr int64_t RUN = 64;                      // wide rows summed in float before they go to double
constexpr int64_t SLICE = 1 << 15, SLICES = 64;  // numbers in a slice of the sums at least; slices at most
constexpr int64_t GRAIN = 1 << 14;               // numbers that are worth a thread

// `fold` rows are taken as one wide row, so that few or odd channels fill vectors too. The width is even; the rows that
// are left over are one short row.
struct Shape {
  int64_t channels, width, rows, rest;  // rest: columns of the short row, 0 if there is none
  Shape(int64_t M, int64_t C) : channels(C) {
    int64_t fold = C % 16 == 0 ? 1 : C % 8 == 0 ? 2 : C % 4 == 0 ? 4 : C % 2 == 0 ? 8 : 16;
    if (fold * C > WIDEST) fold = C % 2 ? 2 : 1;
    fold *= (WIDE + fold * C - 1) / (fold * C);
    width = fold * C, rows = M / fold, rest = (M - rows * fold) * C;
  }
  int64_t numbers() const { return rows * width + rest; }
};

// Vectors over the columns of a wide row are kept in the order in which a row's words are taken apart.
static inline int64_t place(const float*, int64_t column, int64_t) { return column; }
static inline int64_t place(const bf16*, int64_t column, int64_t width) { return column / 2 + column % 2 * (width / 2); }

static int team(int64_t numbers, int64_t threads) {
  const int64_t useful = 1 + numbers / GRAIN;
  return int(useful < threads ? useful : threads);
}

// f(i) for i in [0, n), by several threads where there is OpenMP.
template <class F> static void each(int64_t n, int threads, F f) {
#ifdef _OPENMP
  if (threads > 1) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < n; ++i) f(i);
    return;
  }
#endif
  (void)threads;
  for (int64_t i = 0; i < n; ++i) f(i);
}

// A vector of C numbers, repeated over a wide row of S.
template <class S, class F> static std::vector<float> tiled(const Shape& s, F number) {
  std::vector<float> v(size_t(s.width));
  for (int64_t k = 0; k < s.channels; ++k) {
    const float n = float(number(k)), clean = n != n ? __builtin_nanf("") : n;
    for (int64_t c = k; c < s.width; c += s.channels) v[size_t(place((const S*)nullptr, c, s.width))] = clean;
  }
  return v;
}

// ---- two sums for each channel: term(place, x, g) → {p, q}, over all rows

struct Pair { float p, q; };
static inline Pair operator+(Pair a, Pair b) { return {a.p + b.p, a.q + b.q}; }
struct Sums { std::vector<double> p, q; };  // C each

// Four rows of W columns into p and q.
template <class T> static void add_rows(const float* x, const float* g, int64_t W, float* p, float* q, T term) {
  const float *y = x + W, *z = y + W, *u = z + W, *h = g + W, *i = h + W, *j = i + W;
#pragma omp simd
  for (int64_t c = 0; c < W; ++c) {
    const Pair t = (term(c, x[c], g[c]) + term(c, y[c], h[c])) + (term(c, z[c], i[c]) + term(c, u[c], j[c]));
    p[c] += t.p;
    q[c] += t.q;
  }
}
template <class T> static void add_rows(const bf16* x, const bf16* g, int64_t W, float* p, float* q, T term) {
  const bf16 *y = x + W, *z = y + W, *u = z + W, *h = g + W, *i = h + W, *j = i + W;
  const int64_t half = W / 2;
  float *P = p + half, *Q = q + half;
#pragma omp simd
  for (int64_t c = 0; c < half; ++c) {
    const uint32_t a = word(x, c), b = word(y, c), d = word(z, c), e = word(u, c);
    const uint32_t k = word(g, c), l = word(h, c), m = word(i, c), n = word(j, c);
    const Pair t = (term(c, first(a), first(k)) + term(c, first(b), first(l))) +
                   (term(c, first(d), first(m)) + term(c, first(e), first(n)));
    const int64_t o = c + half;
    const Pair v = (term(o, second(a), second(k)) + term(o, second(b), second(l))) +
                   (term(o, second(d), second(m)) + term(o, second(e), second(n)));
    p[c] += t.p;
    q[c] += t.q;
    P[c] += v.p;
    Q[c] += v.q;
  }
}
template <class S, class T>
static void add_row(const S* x, const S* g, int64_t n, int64_t W, float* p, float* q, T term) {
  for (int64_t c = 0; c < n; ++c) {
    const int64_t o = place(x, c, W);
    const Pair t = term(o, up(x[c]), up(g[c]));
    p[o] += t.p;
    q[o] += t.q;
  }
}

// Rows [from, to) of one slice, and `rest` columns of the row after them, into P and Q.
template <class S, class T>
static void add_slice(const S* x, const S* g, int64_t from, int64_t to, int64_t rest, int64_t W, double* P, double* Q,
                      T term) {
  std::vector<float> scratch(size_t(2 * W));
  float *p = scratch.data(), *q = p + W;
  for (int64_t r = from; r < to || rest; r += RUN) {
    const int64_t end = r + RUN < to ? r + RUN : to;
    for (int64_t c = 0; c < 2 * W; ++c) p[c] = 0;
    int64_t i = r;
    for (; i + 4 <= end; i += 4) add_rows(x + i * W, g + i * W, W, p, q, term);
    for (; i < end; ++i) add_row(x + i * W, g + i * W, W, W, p, q, term);
    if (end == to) add_row(x + to * W, g + to * W, rest, W, p, q, term), rest = 0;
#pragma omp simd
    for (int64_t c = 0; c < W; ++c) P[c] += p[c], Q[c] += q[c];
  }
}

template <class S, class T>
static Sums channel_sums(const Shape& s, const S* x, const S* g, int64_t threads, T term) {
  const int64_t W = s.width, runs = (s.rows + RUN - 1) / RUN;
  int64_t slices = 1 + s.numbers() / SLICE;
  if (slices > runs) slices = runs > 0 ? runs : 1;
  if (slices > SLICES) slices = SLICES;
  std::vector<double> part(size_t(slices * 2 * W), 0.0);
  each(slices, team(s.numbers(), threads), [&](int64_t i) {
    double* P = part.data() + i * 2 * W;
    const int64_t from = runs * i / slices * RUN, to = runs * (i + 1) / slices * RUN;
    if (i + 1 < slices) add_slice(x, g, from, to, 0, W, P, P + W, term);
    else add_slice(x, g, from, s.rows, s.rest, W, P, P + W, term);
  });
  Sums sums{std::vector<double>(size_t(s.channels), 0.0), std::vector<double>(size_t(s.channels), 0.0)};
  double *P = part.data(), *Q = P + W;
  for (int64_t i = 1; i < slices; ++i) {
    const double* other = P + i * 2 * W;
#pragma omp simd
    for (int64_t c = 0; c < 2 * W; ++c) P[c] += other[c];
  }
  for (int64_t k = 0; k < s.channels; ++k)
    for (int64_t c = k; c < W; c += s.channels) {
      sums.p[size_t(k)] += P[place(x, c, W)];
      sums.q[size_t(k)] += Q[place(x, c, W)];
    }
  return sums;
}

// ---- a new number for each number: y = relu(f(place, x, g) + add), the sum and the ReLU only if asked for

template <bool ADD, bool RELU, class S> static inline float finish(float v, float add) {
  if (ADD) v = rounded<S>(v) + add;
  return RELU && v < 0 ? 0 : v;  // NaN stays NaN
}

template <bool ADD, bool RELU, class F>
static void map_row(const float* x, const float* g, const float* add, float* y, int64_t W, F f) {
#pragma omp simd
  for (int64_t c = 0; c < W; ++c) y[c] = finish<ADD, RELU, float>(f(c, x[c], g[c]), ADD ? add[c] : 0);
}
template <bool ADD, bool RELU, class F>
static void map_row(const bf16* x, const bf16* g, const bf16* add, bf16* y, int64_t W, F f) {
  const int64_t half = W / 2;
#pragma omp simd
  for (int64_t c = 0; c < half; ++c) {
    const uint32_t a = word(x, c), b = word(g, c), d = ADD ? word(add, c) : 0;
    const float v = finish<ADD, RELU, bf16>(f(c, first(a), first(b)), first(d));
    const float w = finish<ADD, RELU, bf16>(f(c + half, second(a), second(b)), second(d));
    const uint32_t both = (nearest(v) >> 16) | (nearest(w) & UPPER);
    __builtin_memcpy(y + 2 * c, &both, 4);
  }
}

template <bool ADD, bool RELU, class S, class F>
static void map_rows(const Shape& s, const S* x, const S* g, const S* add, S* y, int64_t threads, F f) {
  const int workers = team(s.numbers(), threads);
  const int64_t W = s.width, end = s.rows * W;
  each(workers, workers, [&](int64_t i) {
    const int64_t from = s.rows * i / workers * W, to = s.rows * (i + 1) / workers * W;
    for (int64_t o = from; o < to; o += W) map_row<ADD, RELU>(x + o, g + o, ADD ? add + o : add, y + o, W, f);
  });
  for (int64_t c = 0; c < s.rest; ++c) {
    const float v = f(place(x, c, W), up(x[end + c]), up(g[end + c]));
    put(y + end + c, finish<ADD, RELU, S>(v, ADD ? up(add[end + c]) : 0));
  }
}
template <bool RELU, class S, class F>
static void map_rows(const Shape& s, const S* x, const S* g, const S* add, S* y, int64_t threads, F f) {
  if (add) map_rows<true, RELU>(s, x, g, add, y, threads, f);
  else map_rows<false, RELU>(s, x, g, add, y, threads, f);
}

// ---- the passes

// Per channel the mean of some rows spread over all: sums of x less it do not cancel, and are 0 for a constant.
template <class S> static std::vector<float> shifts(const Shape& s, const S* x) {
  const int64_t C = s.channels, M = s.numbers() / C, taken = M < 16 ? M : 16;
  std::vector<double> sum(size_t(C), 0.0);
  double* total = sum.data();
  for (int64_t i = 0; i < taken; ++i) {
    const S* row = x + M * i / taken * C;
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) total[c] += up(row[c]);
  }
  for (double& v : sum) v = float(v / double(taken));
  return std::vector<float>(sum.begin(), sum.end());
}

template <class S>
static void stats(const S* x, int64_t M, int64_t C, double eps, float* mean, float* invstd, float* running_mean,
                  float* running_var, double momentum, int64_t threads) {
  const Shape s(M, C);
  const std::vector<float> shift = shifts(s, x), wide = tiled<S>(s, [&](int64_t k) { return shift[size_t(k)]; });
  const float* m = wide.data();
  const Sums sums = channel_sums(s, x, x, threads, [=](int64_t c, float v, float) {
    const float d = v - m[c];
    return Pair{d, d * d};
  });
  for (int64_t k = 0; k < C; ++k) {
    const double d = sums.p[size_t(k)] / double(M), square = sums.q[size_t(k)] / double(M) - d * d;
    const double var = square < 0 ? 0 : square, center = shift[size_t(k)] + d;  // NaN stays NaN
    mean[k] = float(center), invstd[k] = float(1 / std::sqrt(var + eps));
    if (!running_mean) continue;
    running_mean[k] = float(momentum * center + (1 - momentum) * running_mean[k]);
    running_var[k] = float(momentum * var * double(M) / double(M - 1) + (1 - momentum) * running_var[k]);
  }
}

// y = (x − m)·a + b, the three vectors over a wide row.
struct Affine {
  std::vector<float> m, a, b;
  template <class S>
  Affine(const S*, const Shape& s, const float* mean, const float* invstd, const float* weight, const float* bias)
      : m(tiled<S>(s, [=](int64_t k) { return mean[k]; })),
        a(tiled<S>(s, [=](int64_t k) { return weight[k] * invstd[k]; })),
        b(tiled<S>(s, [=](int64_t k) { return bias[k]; })) {}
};

template <class S>
static void act(const S* x, const S* add, S* y, int64_t M, int64_t C, const float* mean, const float* invstd,
                const float* weight, const float* bias, int64_t relu, int64_t threads) {
  const Shape s(M, C);
  const Affine v(x, s, mean, invstd, weight, bias);
  const float *m = v.m.data(), *a = v.a.data(), *b = v.b.data();
  const auto f = [=](int64_t c, float x, float) { return affine(x - m[c], a[c], b[c]); };
  if (relu) map_rows<true>(s, x, x, add, y, threads, f);
  else map_rows<false>(s, x, x, add, y, threads, f);
}

// grad_x = a·g + slope·(x − m) + offset with g masked where y is not above 0. grad_x (it may be g itself), grad_weight
// and grad_bias may be null: not asked for. batch: the statistics are x's own, else slope and offset are 0.
template <bool RELU, class S>
static void backward(const S* g, const S* x, const S* add, S* grad_x, int64_t M, int64_t C, const float* mean,
                     const float* invstd, const float* weight, const float* bias, float* grad_weight, float* grad_bias,
                     int64_t batch, int64_t threads) {
  const Shape s(M, C);
  const Affine v(x, s, mean, invstd, weight, bias);
  const float *m = v.m.data(), *a = v.a.data(), *b = v.b.data();
  const auto masked = [=](int64_t c, float d, float g) { return RELU && affine(d, a[c], b[c]) <= 0 ? 0 : g; };
  std::vector<float> slope(size_t(s.width), 0.f), offset(size_t(s.width), 0.f);
  if (batch || grad_weight || grad_bias) {
    const Sums sums = channel_sums(s, x, g, threads, [=](int64_t c, float x, float g) {
      const float d = x - m[c], h = masked(c, d, g);
      return Pair{h, h * d};
    });
    for (int64_t k = 0; k < C; ++k) {
      if (grad_bias) grad_bias[k] = float(sums.p[size_t(k)]);
      if (grad_weight) grad_weight[k] = float(sums.q[size_t(k)] * invstd[k]);
    }
    const auto mean_scaled = [&](const std::vector<double>& sum, int64_t k) {
      return -double(weight[k]) * invstd[k] * sum[size_t(k)] / double(M);
    };
    if (batch) {
      slope = tiled<S>(s, [&](int64_t k) { return mean_scaled(sums.q, k) * invstd[k] * invstd[k]; });
      offset = tiled<S>(s, [&](int64_t k) { return mean_scaled(sums.p, k); });
    }
  }
  const float *k1 = slope.data(), *k0 = offset.data();
  if (grad_x) map_rows<false>(s, x, g, add, grad_x, threads, [=](int64_t c, float x, float g) {
    const float d = x - m[c];
    return fma1(a[c], masked(c, d, g), fma1(k1[c], d, k0[c]));
  });
}

#define PASSES(S, NAME)                                                                                                \
  extern "C" void stats_##NAME(const S* x, int64_t M, int64_t C, double eps, float* mean, float* invstd,              \
                               float* running_mean, float* running_var, double momentum, int64_t threads) {            \
    stats(x, M, C, eps, mean, invstd, running_mean, running_var, momentum, threads);                                   \
  }                                                                                                                    \
  extern "C" void act_##NAME(const S* x, const S* add, S* y, int64_t M, int64_t C, const float* mean,                 \
                             const float* invstd, const float* weight, const float* bias, int64_t relu,                \
                             int64_t threads) {                                                                        \
    act(x, add, y, M, C, mean, invstd, weight, bias, relu, threads);                                                   \
  }                                                                                                                    \
  extern "C" void backward_##NAME(const S* g, const S* x, const S* add, S* y, int64_t M, int64_t C,                   \
                                  const float* mean, const float* invstd, const float* weight, const float* bias,      \
                                  float* grad_weight, float* grad_bias, int64_t relu, int64_t batch, int64_t threads) { \
    if (relu) backward<true>(g, x, add, y, M, C, mean, invstd, weight, bias, grad_weight, grad_bias, batch, threads);  \
    else backward<false>(g, x, add, y, M, C, mean, invstd, weight, bias, grad_weight, grad_bias, batch, threads);      \
  }

PASSES(float, float32)
PASSES(bf16, bfloat16)
