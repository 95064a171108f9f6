// The passes of a dense block over a tile: R rows (pixels) of C numbers, float32 or bfloat16, rows at any distance.
//
//   activate   out = relu(affine(x))                                             one read, one write
//   mask       g = grad where affine(x) > 0; Σ g; Σ g·(x − center); out (+)= scale·g
//   moments    mean; Σ (x − mean)²                                               two reads of a tile in cache
//   finish     out = total − offset − slope·(x − center)
//
// One expression `affine` in all of them: the mask is that of the forward. Sums run over short runs of rows in float,
// over runs in double, and over slices of the tile that do not depend on the number of threads, so neither do the bits.
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

using std::int64_t;
using std::size_t;

#if defined(__FP_FAST_FMAF)
static inline float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
static inline float fma1(float a, float b, float c) { return a * b + c; }
#endif

typedef uint16_t bf16;
static inline float up(float v) { return v; }
static inline float up(bf16 v) { return __builtin_bit_cast(float, uint32_t(v) << 16); }
static inline void put(float* p, float v) { *p = v; }
static inline void put(bf16* p, float v) {  // to the nearest, ties to even; NaN stays NaN
  const uint32_t u = __builtin_bit_cast(uint32_t, v);
  *p = bf16(v != v ? 0x7fc0u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

constexpr int64_t RUN = 32;            // rows summed in float before they go to double
constexpr int64_t SLICES = 8;          // of a tile's rows, for threads and sums
constexpr int64_t GRAIN = 1 << 15;     // numbers that are worth a thread

// f(slice, begin, end) for each slice of the rows.
template <class F> static void slices(int64_t R, int64_t C, int64_t threads, F f) {
  const int64_t size = (R + SLICES - 1) / SLICES, useful = 1 + R * C / GRAIN;
  const int team = int(useful < threads ? useful : threads);
#ifdef _OPENMP
  if (team > 1) {
#pragma omp parallel for num_threads(team) schedule(static)
    for (int64_t s = 0; s < SLICES; ++s) f(s, s * size < R ? s * size : R, (s + 1) * size < R ? (s + 1) * size : R);
    return;
  }
#endif
  (void)team;
  for (int64_t s = 0; s < SLICES; ++s) f(s, s * size < R ? s * size : R, (s + 1) * size < R ? (s + 1) * size : R);
}

template <int N> using Count = std::integral_constant<int, N>;

// Two sums for each column, C each: rows(Count<n>, i, p, q) adds rows i … i + n − 1 to p and q; four at a time, so that
// p and q are read and written less often.
template <class F> static void column_sums(int64_t R, int64_t C, int64_t threads, float* sum1, float* sum2, F rows) {
  std::vector<double> totals(size_t(SLICES * 2 * C), 0.0);
  slices(R, C, threads, [&](int64_t s, int64_t begin, int64_t end) {
    std::vector<float> run(size_t(2 * C));
    double* total = totals.data() + s * 2 * C;
    for (int64_t i = begin; i < end; i += RUN) {
      const int64_t stop = i + RUN < end ? i + RUN : end;
      for (int64_t c = 0; c < 2 * C; ++c) run[size_t(c)] = 0;
      int64_t r = i;
      for (; r + 4 <= stop; r += 4) rows(Count<4>(), r, run.data(), run.data() + C);
      for (; r < stop; ++r) rows(Count<1>(), r, run.data(), run.data() + C);
      for (int64_t c = 0; c < 2 * C; ++c) total[c] += double(run[size_t(c)]);
    }
  });
  for (int64_t c = 0; c < C; ++c) {
    double a = 0, b = 0;
    for (int64_t s = 0; s < SLICES; ++s) a += totals[size_t(s * 2 * C + c)], b += totals[size_t(s * 2 * C + C + c)];
    sum1[c] = float(a), sum2[c] = float(b);
  }
}

template <class S> static void activate(
    const S* x, int64_t ldx, int64_t R, int64_t C, const float* center, const float* scale, const float* bias, S* out,
    int64_t threads) {
  slices(R, C, threads, [=](int64_t, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const S* from = x + r * ldx;
      S* to = out + r * C;
#pragma omp simd
      for (int64_t c = 0; c < C; ++c) {
        const float z = fma1(up(from[c]) - center[c], scale[c], bias[c]);
        put(to + c, z < 0.0f ? 0.0f : z);
      }
    }
  });
}

template <class S, bool ADD> static void mask(
    const S* grad, const S* x, int64_t ldx, int64_t R, int64_t C, const float* center, const float* scale,
    const float* bias, S* out, int64_t ldo, float* sum1, float* sum2, int64_t threads) {
  column_sums(R, C, threads, sum1, sum2, [=](auto count, int64_t r, float* p, float* q) {
    const S *from = x + r * ldx, *given = grad + r * C;
    S* to = out + r * ldo;
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) {
      float plain = p[c], centered = q[c];
#pragma GCC unroll 4
      for (int k = 0; k < decltype(count)::value; ++k) {
        const float d = up(from[k * ldx + c]) - center[c], whole = up(given[k * C + c]);
        const float g = fma1(d, scale[c], bias[c]) > 0.0f ? whole : 0.0f;
        plain += g;
        centered = fma1(g, d, centered);
        put(to + k * ldo + c, ADD ? fma1(scale[c], g, up(to[k * ldo + c])) : scale[c] * g);
      }
      p[c] = plain, q[c] = centered;
    }
  });
}

template <class S> static void moments(
    const S* x, int64_t ldx, int64_t R, int64_t C, float* mean, float* squares, int64_t threads) {
  std::vector<float> about(size_t(C), 0.0f), sum(size_t(C), 0.0f);
  for (int64_t c = 0; c < C; ++c) about[size_t(c)] = up(x[c]);  // a first guess keeps the sums small
  const float* a = about.data();
  column_sums(R, C, threads, sum.data(), squares, [=](auto count, int64_t r, float* p, float*) {
    const S* from = x + r * ldx;
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) {
      float plain = p[c];
#pragma GCC unroll 4
      for (int k = 0; k < decltype(count)::value; ++k) plain += up(from[k * ldx + c]) - a[c];
      p[c] = plain;
    }
  });
  for (int64_t c = 0; c < C; ++c) mean[c] = about[size_t(c)] + sum[size_t(c)] / float(R);
  std::vector<float> left(size_t(C), 0.0f);
  column_sums(R, C, threads, left.data(), squares, [=](auto count, int64_t r, float*, float* q) {
    const S* from = x + r * ldx;
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) {
      float squares = q[c];
#pragma GCC unroll 4
      for (int k = 0; k < decltype(count)::value; ++k) {
        const float d = up(from[k * ldx + c]) - mean[c];
        squares = fma1(d, d, squares);
      }
      q[c] = squares;
    }
  });
}

template <class S> static void finish(
    const S* total, int64_t ldt, const S* x, int64_t ldx, int64_t R, int64_t C, const float* center,
    const float* offset, const float* slope, S* out, int64_t ldo, int64_t threads) {
  slices(R, C, threads, [=](int64_t, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const S *t = total + r * ldt, *from = x + r * ldx;
      S* to = out + r * ldo;
#pragma omp simd
      for (int64_t c = 0; c < C; ++c) {
        put(to + c, up(t[c]) - fma1(slope[c], up(from[c]) - center[c], offset[c]));
      }
    }
  });
}

#define PASSES(S, SUFFIX)                                                                                             \
  extern "C" void activate_##SUFFIX(const S* x, int64_t ldx, int64_t R, int64_t C, const float* center,                \
                                    const float* scale, const float* bias, S* out, int64_t threads) {                  \
    activate<S>(x, ldx, R, C, center, scale, bias, out, threads);                                                      \
  }                                                                                                                    \
  extern "C" void mask_##SUFFIX(const S* grad, const S* x, int64_t ldx, int64_t R, int64_t C, const float* center,     \
                                const float* scale, const float* bias, S* out, int64_t ldo, float* sum1, float* sum2,  \
                                int64_t accumulate, int64_t threads) {                                                 \
    (accumulate ? mask<S, true> : mask<S, false>)(grad, x, ldx, R, C, center, scale, bias, out, ldo, sum1, sum2,       \
                                                  threads);                                                            \
  }                                                                                                                    \
  extern "C" void moments_##SUFFIX(const S* x, int64_t ldx, int64_t R, int64_t C, float* mean, float* squares,         \
                                   int64_t threads) {                                                                  \
    moments<S>(x, ldx, R, C, mean, squares, threads);                                                                  \
  }                                                                                                                    \
  extern "C" void finish_##SUFFIX(const S* total, int64_t ldt, const S* x, int64_t ldx, int64_t R, int64_t C,          \
                                  const float* center, const float* offset, const float* slope, S* out, int64_t ldo,   \
                                  int64_t threads) {                                                                   \
    finish<S>(total, ldt, x, ldx, R, C, center, offset, slope, out, ldo, threads);                                     \
  }

PASSES(float, float32)
PASSES(bf16, bfloat16)
