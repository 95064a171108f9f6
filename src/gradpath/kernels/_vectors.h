// Vectors of float32 and products of small matrices that stay in registers, for AVX2 and AVX-512.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#include <immintrin.h>
#define HAS_VECTORS 1
#else
#define HAS_VECTORS 0
#endif

using std::int64_t;

#if defined(__AVX512F__)
constexpr int64_t WIDE = 16;
#else
constexpr int64_t WIDE = 8;
#endif
constexpr int64_t PANEL = 2 * WIDE;  // columns of a product whose sums are in registers
typedef float vec __attribute__((vector_size(WIDE * 4), aligned(4), may_alias));

#if defined(__AVX512F__)
static inline vec fma(vec a, vec b, vec c) { return vec(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c))); }
#elif HAS_VECTORS
static inline vec fma(vec a, vec b, vec c) { return vec(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(c))); }
#else
static inline vec fma(vec a, vec b, vec c) { return a * b + c; }
#endif
static inline vec load(const float* p) { return *reinterpret_cast<const vec*>(p); }
static inline void store(float* p, vec v) { *reinterpret_cast<vec*>(p) = v; }
static inline vec all(float v) { return v - vec{}; }  // v + 0 would be an addition, for the sake of −0

// The first n numbers of a vector; the others are 0, and not touched.
#if defined(__AVX512F__)
static inline vec load_some(const float* p, int64_t n) { return vec(_mm512_maskz_loadu_ps((1u << n) - 1, p)); }
static inline void store_some(float* p, vec v, int64_t n) { _mm512_mask_storeu_ps(p, (1u << n) - 1, __m512(v)); }
#elif HAS_VECTORS
alignas(32) static const int32_t SOME[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
static inline __m256i some(int64_t n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(SOME + 8 - n)); }
static inline vec load_some(const float* p, int64_t n) { return vec(_mm256_maskload_ps(p, some(n))); }
static inline void store_some(float* p, vec v, int64_t n) { _mm256_maskstore_ps(p, some(n), __m256(v)); }
#else
static inline vec load_some(const float* p, int64_t n) {
  vec v = {};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
static inline void store_some(float* p, vec v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}
#endif

#define UNROLL _Pragma("GCC unroll 16")  // else the sums of a product do not stay in registers

static inline int64_t whole_vectors(int64_t numbers) { return (numbers + WIDE - 1) / WIDE * WIDE; }

// Calls visit(first, load, store) for each vector of a row of numbers.
template <class Visit> static inline void each_vector(int64_t numbers, Visit visit) {
  int64_t c = 0;
  for (; c + WIDE <= numbers; c += WIDE)
    visit(c, [](const float* p) { return load(p); }, [](float* p, vec v) { store(p, v); });
  if (const int64_t n = numbers - c)
    visit(c, [n](const float* p) { return load_some(p, n); }, [n](float* p, vec v) { store_some(p, v, n); });
}

// sum += a · b. a: R rows, its numbers `row` apart over rows and `next` apart over the depth; b: V vectors for each of
// the depth, `width` numbers apart.
template <int R, int V>
static inline void multiply(vec (&sum)[R][V], const float* a, int64_t row, int64_t next, const float* b, int64_t width,
                            int64_t depth) {
  for (int64_t d = 0; d < depth; ++d, b += width) {
    vec right[V];
    UNROLL for (int v = 0; v < V; ++v) right[v] = load(b + v * WIDE);
    UNROLL for (int r = 0; r < R; ++r) {
      const vec left = all(a[r * row + d * next]);
      UNROLL for (int v = 0; v < V; ++v) sum[r][v] = fma(left, right[v], sum[r][v]);
    }
  }
}

template <int N> struct Size {
  static constexpr int size = N;
};
// Calls visit(first, Size<R>) for pieces of 6 rows and the rest.
template <class Visit> static inline void by_six(int64_t rows, Visit visit) {
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6) visit(r, Size<6>());
  switch (rows - r) {
    case 5: return visit(r, Size<5>());
    case 4: return visit(r, Size<4>());
    case 3: return visit(r, Size<3>());
    case 2: return visit(r, Size<2>());
    case 1: return visit(r, Size<1>());
  }
}
// Calls visit(first, Size<V>) for panels of columns: two vectors, or one where one holds the rest.
template <class Visit> static inline void by_panel(int64_t columns, Visit visit) {
  for (int64_t k = 0; k < columns; k += PANEL) {
    if (columns - k > WIDE) visit(k, Size<2>());
    else visit(k, Size<1>());
  }
}

// A thread's memory, 64-byte aligned, kept from call to call; what is in it is what the last one left.
static inline float* scratch(size_t numbers) {
  static thread_local std::vector<float> held;
  if (held.size() < numbers + 16) held.resize(numbers + 16);
  return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(held.data()) + 63) / 64 * 64);
}
