// 3×3 convolutions with stride 1 and padding 1 in Winograd's form F(4×4, 3×3): channels-last float32.
//
//   Y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A      of 6×6 inputs d, overlapping by 2, come 4×4 outputs: 36 products instead of 144
//   ∂w = Gᵀ [(A ∂Y Aᵀ) ⊙ (Bᵀ d B)] G     the same form read backwards
//
//   Bᵀ = 1 −³⁄₂ −2  ³⁄₂  1  0     Aᵀ = 1  1  1  1   1  0     G = 1     0     0
//        0 −1   ½   ⁵⁄₂  1  0          0  1 −1  ½  −2  0         ⅓     ⅓     ⅓
//        0  1  −⁵⁄₂ ½    1  0          0  1  1  ¼   4  0        −⅓     ⅓    −⅓
//        0 −2  −1   2    1  0          0  1 −1  ⅛  −8  1        −¹⁶⁄₁₅ −⁸⁄₁₅ −⁴⁄₁₅
//        0  ½  −1  −½    1  0                                    ¹⁄₁₅  −²⁄₁₅  ⁴⁄₁₅
//        0  1  −³⁄₂ −2  ³⁄₂ 1                                    0     0     1
//
// (Lavin and Gray 2016, arXiv:1509.09308, at the points 0, 1, −1, ½, −2, whose rounding errors are less than half of
// those at theirs, 0, ±1, ±2.) Summed over channels, each of the 36 places is one matrix product. A block of tiles is
// taken through all its steps while it is in the cache.
//
// Results do not depend on the number of threads, bit for bit: what a thread computes is a tile, or one of a number of
// slices that the sizes alone decide, and the slices are added up in their order.
#include "_vectors.h"

constexpr int64_t TILE = 4, SPAN = 6, PLACES = SPAN * SPAN;
constexpr int64_t GAP = 16;  // GAP: numbers between the planes of the places, so that they share no cache set

struct Shape {
  int64_t images, height, width, down, across;  // down, across: tiles
  Shape(int64_t n, int64_t h, int64_t w) : images(n), height(h), width(w) {
    down = (h + TILE - 1) / TILE, across = (w + TILE - 1) / TILE;
  }
  int64_t tiles() const { return images * down * across; }
};

// Tiles one beside the other in a row of tiles.
struct Run {
  int64_t image, row, first, count;
};
template <class Visit> static void each_run(const Shape& s, int64_t first, int64_t count, Visit visit) {
  for (int64_t done = 0; done < count;) {
    const int64_t at = first + done, column = at % s.across, length = std::min(s.across - column, count - done);
    visit(Run{at / s.across / s.down, at / s.across % s.down, column, length}, done);
    done += length;
  }
}

// ---- transforms. A block of tiles is 36 planes of rows: place p of tile t, all channels, at planes + p·plane + t·row.

static inline vec times(float a, vec b, vec c) { return fma(all(a), b, c); }

// Bᵀ d: 6 numbers in, 6 out, `step` apart.
static inline void to_places(const vec* d, vec* out, int64_t step) {
  const vec p = d[4] - d[2], q = d[3] - d[1];
  out[0] = times(1.5f, q, d[0] - d[2] + p);
  out[step] = times(1.5f, d[2] + d[3], p + q);
  out[2 * step] = times(1.5f, d[3] - d[2], p - q);
  out[3 * step] = times(2.0f, q, p);
  out[4 * step] = times(-0.5f, q, p);
  out[5 * step] = times(1.5f, p, d[5] - d[3] - q);
}

// Aᵀ m: 6 numbers in, 4 out.
static inline void to_outputs(const vec* m, vec* out, int64_t step) {
  const vec sum = m[1] + m[2], difference = m[1] - m[2];
  out[0] = m[0] + sum + (m[3] + m[4]);
  out[step] = times(-2.0f, m[4], times(0.5f, m[3], difference));
  out[2 * step] = times(4.0f, m[4], times(0.25f, m[3], sum));
  out[3 * step] = times(-8.0f, m[4], times(0.125f, m[3], difference)) + m[5];
}

// A g: 4 numbers in, 6 out.
static inline void from_outputs(const vec* g, vec* out, int64_t step) {
  const vec even = g[0] + g[2], odd = g[1] + g[3];
  out[0] = g[0];
  out[step] = even + odd;
  out[2 * step] = even - odd;
  out[3 * step] = times(0.125f, g[3], times(0.25f, g[2], times(0.5f, g[1], g[0])));
  out[4 * step] = times(-8.0f, g[3], times(4.0f, g[2], times(-2.0f, g[1], g[0])));
  out[5 * step] = g[3];
}

// G w: 3 numbers in, 6 out.
static inline void from_weight(const vec* w, vec* out, int64_t step) {
  const vec ends = w[0] + w[2];
  out[0] = w[0];
  out[step] = (ends + w[1]) / 3.0f;
  out[2 * step] = (w[1] - ends) / 3.0f;
  out[3 * step] = times(4.0f, w[0], times(2.0f, w[1], w[2])) * (-4.0f / 15.0f);
  out[4 * step] = times(4.0f, w[2], times(-2.0f, w[1], w[0])) / 15.0f;
  out[5 * step] = w[2];
}

// Gᵀ m: 6 numbers in, 3 out.
static inline void to_weight(const vec* m, vec* out, int64_t step) {
  const vec sum = (m[1] + m[2]) / 3.0f, difference = (m[1] - m[2]) / 3.0f;
  const vec half = m[3] * (-4.0f / 15.0f), two = m[4] / 15.0f;
  out[0] = m[0] + difference + times(4.0f, half, two);
  out[step] = sum + times(2.0f, half, times(-2.0f, two, vec{}));
  out[2 * step] = difference + times(4.0f, two, half) + m[5];
}

// Bᵀ d B. The columns that two tiles share are taken through Bᵀ once.
static void input_run(const float* x, const Shape& s, int64_t C, const Run& run, float* planes, int64_t plane,
                      const float* zeros) {
  const float* rows[SPAN];
  int64_t steps[SPAN];
  for (int64_t r = 0; r < SPAN; ++r) {
    const int64_t y = TILE * run.row - 1 + r;
    const bool inside = y >= 0 && y < s.height;
    rows[r] = inside ? x + (run.image * s.height + y) * s.width * C : zeros, steps[r] = inside ? C : 0;
  }
  const int64_t row = whole_vectors(C);
  each_vector(C, [&](int64_t c, auto get, auto) {
    vec m[SPAN][SPAN];  // place along rows, column
    auto column = [&](int64_t at, int64_t q) {
      vec d[SPAN] = {};
      if (at >= 0 && at < s.width) UNROLL for (int r = 0; r < SPAN; ++r) d[r] = get(rows[r] + at * steps[r] + c);
      to_places(d, &m[0][q], SPAN);
    };
    column(TILE * run.first - 1, 0), column(TILE * run.first, 1);
    for (int64_t t = 0; t < run.count; ++t) {
      UNROLL for (int q = 2; q < SPAN; ++q) column(TILE * (run.first + t) - 1 + q, q);
      float* out = planes + t * row + c;
      UNROLL for (int r = 0; r < SPAN; ++r) {
        vec line[SPAN];
        to_places(m[r], line, 1);
        UNROLL for (int q = 0; q < SPAN; ++q) store(out + (SPAN * r + q) * plane, line[q]);
        m[r][0] = m[r][4], m[r][1] = m[r][5];
      }
    }
  });
}

// The pixels of a tile; where the image has no such pixel, `none`.
template <class Number> struct Pixels {
  Number* at[TILE][TILE];
  Pixels(Number* y, const Shape& s, int64_t K, const Run& run, int64_t t, Number* none) {
    const int64_t column = TILE * (run.first + t), row = TILE * run.row;
    Number* p = y + ((run.image * s.height + row) * s.width + column) * K;
    for (int64_t r = 0; r < TILE; ++r)
      for (int64_t q = 0; q < TILE; ++q)
        at[r][q] = row + r < s.height && column + q < s.width ? p + (r * s.width + q) * K : none;
  }
};

// Aᵀ m A
static void output_run(const float* planes, const Shape& s, int64_t K, const Run& run, float* y, int64_t plane,
                       float* sink) {
  for (int64_t t = 0; t < run.count; ++t) {
    const Pixels<float> to(y, s, K, run, t, sink);
    each_vector(K, [&](int64_t k, auto, auto put) {
      vec half[TILE][SPAN];
      UNROLL for (int q = 0; q < SPAN; ++q) {
        vec m[SPAN];
        UNROLL for (int r = 0; r < SPAN; ++r) m[r] = load(planes + t * whole_vectors(K) + k + (SPAN * r + q) * plane);
        to_outputs(m, &half[0][q], SPAN);
      }
      UNROLL for (int r = 0; r < TILE; ++r) {
        vec line[TILE];
        to_outputs(half[r], line, 1);
        UNROLL for (int q = 0; q < TILE; ++q) put(to.at[r][q] + k, line[q]);
      }
    });
  }
}

// A g Aᵀ
static void gradient_run(const float* g, const Shape& s, int64_t K, const Run& run, float* planes, int64_t plane,
                         const float* zeros) {
  for (int64_t t = 0; t < run.count; ++t) {
    const Pixels<const float> from(g, s, K, run, t, zeros);
    each_vector(K, [&](int64_t k, auto get, auto) {
      vec half[SPAN][TILE];
      UNROLL for (int q = 0; q < TILE; ++q) {
        vec column[TILE];
        UNROLL for (int r = 0; r < TILE; ++r) column[r] = get(from.at[r][q] + k);
        from_outputs(column, &half[0][q], TILE);
      }
      UNROLL for (int r = 0; r < SPAN; ++r) {
        vec line[SPAN];
        from_outputs(half[r], line, 1);
        UNROLL for (int q = 0; q < SPAN; ++q) store(planes + t * whole_vectors(K) + k + (SPAN * r + q) * plane, line[q]);
      }
    });
  }
}

// ---- products of one place

template <int R, int V>
static inline void product_piece(const float* a, const float* b, float* c, int64_t depth, int64_t step, int64_t K) {
  vec sum[R][V] = {};
  multiply(sum, a, step, 1, b, K, depth);
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int v = 0; v < V; ++v) store(c + r * K + v * WIDE, sum[r][v]);
}

// c = a · b, rows × depth and depth × K. K: whole vectors.
static void product(const float* a, const float* b, float* c, int64_t rows, int64_t depth, int64_t K) {
  const int64_t step = whole_vectors(depth);
  by_panel(K, [&](int64_t k, auto vectors) {
    by_six(rows, [&](int64_t r, auto n) {
      product_piece<n.size, vectors.size>(a + r * step, b + k, c + r * K + k, depth, step, K);
    });
  });
}

template <int R, int V>
static inline void sum_piece(const float* a, const float* b, float* c, int64_t count, int64_t step, int64_t K) {
  vec sum[R][V];
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int v = 0; v < V; ++v) sum[r][v] = load(c + r * K + v * WIDE);
  multiply(sum, a, 1, step, b, K, count);
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int v = 0; v < V; ++v) store(c + r * K + v * WIDE, sum[r][v]);
}

// c += aᵀ · b, of count × C and count × K. K: whole vectors.
static void sum_products(const float* a, const float* b, float* c, int64_t count, int64_t C, int64_t K) {
  by_panel(K, [&](int64_t k, auto vectors) {
    by_six(C, [&](int64_t r, auto n) {
      sum_piece<n.size, vectors.size>(a + r, b + k, c + r * K + k, count, whole_vectors(C), K);
    });
  });
}

// This thread's memory for a block: the planes of two sides, and a row of zeros (or to write to) for what lies outside.
struct Block {
  float *left, *right, *row;
  Block(int64_t left_plane, int64_t right_plane, int64_t channels) {
    left = scratch(size_t(PLACES * (left_plane + right_plane) + channels));
    right = left + PLACES * left_plane, row = right + PLACES * right_plane;
    std::memset(row, 0, size_t(channels) * 4);
  }
};

// Gᵀ m G of the sums of all slices, for one input channel and `count` outputs, at most a vector.
static inline void put_weights(const float* sums, int64_t slices, int64_t size, float* w, const int64_t* strides,
                               int64_t count) {
  vec half[3][SPAN];
  UNROLL for (int q = 0; q < SPAN; ++q) {
    vec m[SPAN];
    for (int r = 0; r < SPAN; ++r) {
      m[r] = load(sums + (SPAN * r + q) * size);
      for (int64_t i = 1; i < slices; ++i) m[r] += load(sums + (i * PLACES + SPAN * r + q) * size);
    }
    to_weight(m, &half[0][q], SPAN);
  }
  for (int r = 0; r < 3; ++r) {
    vec line[3];
    to_weight(half[r], line, 1);
    for (int q = 0; q < 3; ++q)
      for (int64_t k = 0; k < count; ++k) w[k * strides[0] + r * strides[2] + q * strides[3]] = line[q][k];
  }
}

extern "C" {

// Numbers in a vector; 0 where these loops would be slow. Channel counts are multiples of 4.
int64_t vector_width() { return HAS_VECTORS ? WIDE : 0; }

// G w Gᵀ: 36 × C × whole_vectors(K). strides: of w over K, C, rows, columns; negative ones turn it, for the gradient of the input.
void weights(const float* w, const int64_t* strides, int64_t C, int64_t K, float* u, int64_t threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t c = 0; c < C; ++c)
    for (int64_t k = 0; k < K; k += WIDE) {
      const float* from = w + k * strides[0] + c * strides[1];
      const int64_t count = std::min(WIDE, K - k);
      vec half[SPAN][3];
      UNROLL for (int q = 0; q < 3; ++q) {
        vec column[3] = {};
        for (int r = 0; r < 3; ++r)
          for (int64_t v = 0; v < count; ++v) column[r][v] = from[v * strides[0] + r * strides[2] + q * strides[3]];
        from_weight(column, &half[0][q], 3);
      }
      UNROLL for (int r = 0; r < SPAN; ++r) {
        vec line[SPAN];
        from_weight(half[r], line, 1);
        UNROLL for (int q = 0; q < SPAN; ++q) store(u + ((SPAN * r + q) * C + c) * whole_vectors(K) + k, line[q]);
      }
    }
}

// y = convolution of x (N H W C) with u, N H W K, by blocks of `block` tiles.
void convolve(const float* x, const float* u, float* y, int64_t N, int64_t H, int64_t W, int64_t C, int64_t K,
              int64_t block, int64_t threads) {
  const Shape s(N, H, W);
  const int64_t blocks = (s.tiles() + block - 1) / block, C0 = whole_vectors(C), K0 = whole_vectors(K);
  const int64_t in = block * C0 + GAP, out = block * K0 + GAP;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t first = b * block, count = std::min(block, s.tiles() - first);
    const Block own(in, out, std::max(C0, K0));
    each_run(s, first, count,
             [&](const Run& run, int64_t t) { input_run(x, s, C, run, own.left + t * C0, in, own.row); });
    for (int64_t p = 0; p < PLACES; ++p)
      product(own.left + p * in, u + p * C * K0, own.right + p * out, count, C, K0);
    each_run(s, first, count,
             [&](const Run& run, int64_t t) { output_run(own.right + t * K0, s, K, run, y, out, own.row); });
  }
}

// w = gradient of the weight, from x (N H W C) and the gradient g of the output (N H W K); w's strides as above.
// sums: slices × 36 × C × whole_vectors(K), to work in.
void weight_gradient(const float* x, const float* g, float* sums, float* w, const int64_t* strides, int64_t N,
                     int64_t H, int64_t W, int64_t C, int64_t K, int64_t slices, int64_t block, int64_t threads) {
  const Shape s(N, H, W);
  const int64_t blocks = (s.tiles() + block - 1) / block, C0 = whole_vectors(C), K0 = whole_vectors(K), size = C * K0;
  const int64_t in = block * C0 + GAP, out = block * K0 + GAP;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < slices; ++i) {
    const Block own(in, out, std::max(C0, K0));
    float* total = sums + i * PLACES * size;
    std::memset(total, 0, size_t(PLACES * size) * 4);
    for (int64_t b = i * blocks / slices; b < (i + 1) * blocks / slices; ++b) {
      const int64_t first = b * block, count = std::min(block, s.tiles() - first);
      each_run(s, first, count, [&](const Run& run, int64_t t) {
        input_run(x, s, C, run, own.left + t * C0, in, own.row);
        gradient_run(g, s, K, run, own.right + t * K0, out, own.row);
      });
      for (int64_t p = 0; p < PLACES; ++p)
        sum_products(own.left + p * in, own.right + p * out, total + p * size, count, C, K0);
    }
  }
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t c = 0; c < C; ++c)
    for (int64_t k = 0; k < K; k += WIDE)
      put_weights(sums + c * whole_vectors(K) + k, slices, size, w + k * strides[0] + c * strides[1], strides,
                  std::min(WIDE, K - k));
}

}  // extern "C"
