// The 1×1 convolution of a dense layer with its norms, float32: each product of some rows (pixels) beside its passes.
//
//   forward    act = relu(affine(x));  out = act · wᵀ;  mean and Σ (out − mean)² of each column
//   backward   g = grad − offset − slope·(out − center)          what the norm behind it takes (`finish` in _dense.cpp)
//              ∂w = gᵀ · act;  h = g · w where act > 0, else 0;  Σ h;  Σ h·(x − center);  total += scale·h
//
// x, total: M × C, rows at any distance; out, grad: M × K; w: K × C. A block of rows goes through all its steps while it
// is in the cache; what it computes stays in registers between the product and the mask. `affine` is the expression of
// _dense.cpp: fma(x − center, scale, bias).
//
// Results do not depend on the number of threads, bit for bit: a thread computes one of a number of slices of the rows
// that the sizes alone decide, and the slices are added up in their order.
#include "_vectors.h"

namespace {

constexpr int64_t AHEAD = 8;  // rows

struct Affine {
  const float *center, *scale, *bias;
};

// Rows that go through all steps together.
struct Rows {
  int64_t count, each, blocks, slices;
  Rows(int64_t rows, int64_t rows_each, int64_t slices_) : count(rows), each(rows_each), slices(slices_) {
    blocks = (rows + each - 1) / each;
  }
  // Calls visit(slice) for each slice.
  template <class Visit> void each_slice(int64_t threads, Visit visit) const {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < slices; ++i) visit(i);
  }
  // Calls visit(first, count) for each block of rows of a slice.
  template <class Visit> void each_block(int64_t slice, Visit visit) const {
    for (int64_t b = slice * blocks / slices; b < (slice + 1) * blocks / slices; ++b)
      visit(b * each, std::min(each, count - b * each));
  }
};

// Numbers from row to row of what is activated: not a multiple of a page, whose rows would share cache sets.
int64_t row_step(int64_t channels) { return whole_vectors(channels) + (channels % 128 == 0 ? WIDE : 0); }

// Asks for what is read next: rows with gaps between them are too far apart for the processor to guess.
inline void prefetch(const float* row, int64_t numbers) {
  for (int64_t c = 0; c < numbers; c += 16) __builtin_prefetch(row + c);
}

// to = relu(affine(x)), its last vectors filled up with 0.
void activate(const float* x, int64_t ldx, int64_t rows, int64_t C, const Affine& of, float* to, int64_t step) {
  for (int64_t r = 0; r < rows; ++r, x += ldx, to += step) {
    prefetch(x + AHEAD * ldx, C);
    each_vector(C, [&](int64_t c, auto get, auto) {
      const vec z = fma(get(x + c) - get(of.center + c), get(of.scale + c), get(of.bias + c));
      store(to + c, z < vec{} ? vec{} : z);
    });
  }
}

// ---- forward

template <int R, int V>
inline void forward_piece(const float* act, int64_t step, const float* w, int64_t depth, float* out, int64_t K,
                          int64_t left) {
  vec sum[R][V] = {};
  multiply(sum, act, step, 1, w, V * WIDE, depth);
  if (left >= V * WIDE) {
    UNROLL for (int r = 0; r < R; ++r) UNROLL for (int v = 0; v < V; ++v) store(out + r * K + v * WIDE, sum[r][v]);
  } else {
    UNROLL for (int r = 0; r < R; ++r) UNROLL for (int v = 0; v < V; ++v)
      store_some(out + r * K + v * WIDE, sum[r][v], std::min(WIDE, left - v * WIDE));
  }
}

// out = act · w, w packed by panels of columns.
void forward_block(const float* act, int64_t step, int64_t rows, int64_t C, const float* w, float* out, int64_t K) {
  by_panel(K, [&](int64_t k, auto vectors) {
    by_six(rows, [&](int64_t r, auto n) {
      forward_piece<n.size, vectors.size>(act + r * step, step, w + k * C, C, out + r * K + k, K, K - k);
    });
  });
}

// Count, mean and Σ (value − mean)² of each column, joined as in Chan, Golub, LeVeque 1979: never E[x²] − E[x]².
struct Moments {
  double count, *mean, *squares;
  void join(double n, const double* other_mean, const double* other_squares, int64_t K) {
    for (int64_t k = 0; k < K; ++k) {
      const double apart = other_mean[k] - mean[k], share = n / (count + n);
      mean[k] += apart * share;
      squares[k] += other_squares[k] + apart * apart * count * share;
    }
    count += n;
  }
};

// Adds those of some rows; memory: 4 K numbers, twice.
void add_moments(const float* out, int64_t rows, int64_t K, Moments& all_rows, float* sum, double* found) {
  float *mean = sum + K, *squares = sum + 2 * K;
  std::fill(sum, sum + 3 * K, 0.0f);
  for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
    for (int64_t k = 0; k < K; ++k) sum[k] += out[r * K + k] - out[k];  // from the first row: small numbers
  for (int64_t k = 0; k < K; ++k) mean[k] = out[k] + sum[k] / float(rows);
  for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
    for (int64_t k = 0; k < K; ++k) squares[k] += (out[r * K + k] - mean[k]) * (out[r * K + k] - mean[k]);
  for (int64_t k = 0; k < K; ++k) {  // of the exact mean: less what its rounding adds
    const double exact = double(out[k]) + double(sum[k]) / double(rows), off = exact - double(mean[k]);
    found[k] = exact, found[K + k] = double(squares[k]) - double(rows) * off * off;
  }
  all_rows.join(double(rows), found, found + K, K);
}

// ---- backward

// g = grad − offset − slope·(out − center)
void finish(const float* grad, const float* out, int64_t rows, int64_t K, const Affine& of, float* g) {
  for (int64_t r = 0; r < rows; ++r, grad += K, out += K, g += K)
    each_vector(K, [&](int64_t k, auto get, auto put) {
      put(g + k, get(grad + k) - fma(get(of.scale + k), get(out + k) - get(of.center + k), get(of.bias + k)));
    });
}

template <int R, int V>
inline void weight_piece(const float* g, int64_t K, const float* act, int64_t step, int64_t rows, float* total,
                         int64_t width) {
  vec sum[R][V];
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int v = 0; v < V; ++v) sum[r][v] = load(total + r * width + v * WIDE);
  multiply(sum, g, 1, K, act, step, rows);
  UNROLL for (int r = 0; r < R; ++r) UNROLL for (int v = 0; v < V; ++v) store(total + r * width + v * WIDE, sum[r][v]);
}

// total (K × whole_vectors(C)) += gᵀ · act
void weight_block(const float* g, int64_t K, const float* act, int64_t step, int64_t rows, int64_t C, float* total) {
  const int64_t width = whole_vectors(C);
  by_panel(C, [&](int64_t c, auto vectors) {
    by_six(K, [&](int64_t k, auto n) {
      weight_piece<n.size, vectors.size>(g + k, K, act + c, step, rows, total + k * width + c, width);
    });
  });
}

// One panel of columns of x, total and what they are normalised by; `left`: columns from its first to the last.
struct Panel {
  const float *act, *x;
  float* total;
  int64_t step, ldx, ldt, left;
  const float *center, *scale;
};

// h = g · w where act > 0; sums[0] += Σ h, sums[1] += Σ h·(x − center); total += scale·h.
template <int R, int V, bool WHOLE>
inline void mask_piece(const float* g, int64_t K, const float* w, const Panel& of, int64_t first, vec (&sums)[2][V]) {
  UNROLL for (int i = 0; i < R; ++i) {  // into the nearest cache while the product is computed
    __builtin_prefetch(of.act + (first + i) * of.step);
    __builtin_prefetch(of.x + (first + i) * of.ldx);
    __builtin_prefetch(of.total + (first + i) * of.ldt);
  }
  vec sum[R][V] = {};
  multiply(sum, g, K, 1, w, V * WIDE, K);
  UNROLL for (int v = 0; v < V; ++v) {
    const int64_t c = v * WIDE, n = std::min(WIDE, of.left - c);
    auto get = [n](const float* p) { return WHOLE ? load(p) : load_some(p, n); };
    const vec center = get(of.center + c), scale = get(of.scale + c);
    UNROLL for (int i = 0; i < R; ++i) {
      const int64_t r = first + i;
      const vec h = load(of.act + r * of.step + c) > vec{} ? sum[i][v] : vec{};
      sums[0][v] += h;
      sums[1][v] = fma(h, get(of.x + r * of.ldx + c) - center, sums[1][v]);
      float* to = of.total + r * of.ldt + c;
      const vec more = fma(scale, h, get(to));
      if (WHOLE) store(to, more);
      else store_some(to, more, n);
    }
  }
}

template <int V, bool WHOLE>
inline void mask_panel(const float* g, int64_t K, const float* w, const Panel& of, int64_t rows, double* plain,
                       double* centered) {
  vec sums[2][V] = {};
  by_six(rows, [&](int64_t r, auto n) { mask_piece<n.size, V, WHOLE>(g + r * K, K, w, of, r, sums); });
  for (int v = 0; v < V; ++v)
    for (int64_t i = 0; i < std::min(WIDE, of.left - v * WIDE); ++i)
      plain[v * WIDE + i] += double(sums[0][v][i]), centered[v * WIDE + i] += double(sums[1][v][i]);
}

// All panels of some rows. w packed by panels; sums: plain and centered, C each.
void mask_block(const float* g, int64_t K, const float* w, const Panel& rows_of, int64_t rows, double* sums) {
  const int64_t C = rows_of.left;
  by_panel(C, [&](int64_t c, auto vectors) {
    Panel of = rows_of;
    of.act += c, of.x += c, of.total += c, of.center += c, of.scale += c, of.left -= c;
    constexpr int V = vectors.size;
    if (of.left >= V * WIDE) mask_panel<V, true>(g, K, w + c * K, of, rows, sums + c, sums + C + c);
    else mask_panel<V, false>(g, K, w + c * K, of, rows, sums + c, sums + C + c);
  });
}

}  // namespace

extern "C" {

// Numbers in a vector; 0 where these loops would be slow.
int64_t vector_width() { return HAS_VECTORS ? WIDE : 0; }

// A matrix, depth × columns with its numbers over_depth and over_columns apart, by panels of columns, the last one
// filled up with 0: whole_vectors(columns) × depth numbers.
void pack(const float* w, int64_t over_depth, int64_t over_columns, int64_t depth, int64_t columns, float* packed) {
  by_panel(columns, [&](int64_t k, auto vectors) {
    const int64_t width = vectors.size * WIDE;
    for (int64_t d = 0; d < depth; ++d)
      for (int64_t j = 0; j < width; ++j)
        packed[k * depth + d * width + j] = k + j < columns ? w[d * over_depth + (k + j) * over_columns] : 0.0f;
  });
}

// w: packed, C × K. mean, squares: K each, or null.
void product(const float* x, int64_t ldx, int64_t M, int64_t C, const float* center, const float* scale,
             const float* bias, const float* w, float* out, int64_t K, float* mean, float* squares, int64_t each,
             int64_t slices, int64_t threads) {
  const Rows rows(M, each, slices);
  const Affine affine{center, scale, bias};
  const int64_t step = row_step(C);
  std::vector<double> joined(size_t(slices * 2 * K), 0.0), counts(size_t(slices), 0.0);
  rows.each_slice(threads, [&](int64_t i) {
    float *act = scratch(size_t(each * step + 3 * K)), *sums = act + each * step;
    std::vector<double> found(size_t(2 * K));
    Moments moments{0.0, &joined[size_t(i * 2 * K)], &joined[size_t(i * 2 * K + K)]};
    rows.each_block(i, [&](int64_t first, int64_t count) {
      activate(x + first * ldx, ldx, count, C, affine, act, step);
      forward_block(act, step, count, C, w, out + first * K, K);
      if (mean != nullptr) add_moments(out + first * K, count, K, moments, sums, found.data());
    });
    counts[size_t(i)] = moments.count;
  });
  if (mean == nullptr) return;
  std::vector<double> total(size_t(2 * K), 0.0);
  Moments moments{0.0, total.data(), total.data() + K};
  for (int64_t i = 0; i < slices; ++i)
    if (counts[size_t(i)] > 0)
      moments.join(counts[size_t(i)], &joined[size_t(i * 2 * K)], &joined[size_t(i * 2 * K + K)], K);
  for (int64_t k = 0; k < K; ++k) mean[k] = float(moments.mean[k]), squares[k] = float(moments.squares[k]);
}

// w: packed, K × C. plain, centered: C each. grad_w: K × C, or null; partial: slices × K × whole_vectors(C) to work in.
void product_backward(const float* grad, const float* out, int64_t K, const float* out_center, const float* slope,
                      const float* offset, const float* x, int64_t ldx, int64_t M, int64_t C, const float* center,
                      const float* scale, const float* bias, const float* w, float* total, int64_t ldt, float* plain,
                      float* centered, float* grad_w, float* partial, int64_t each, int64_t slices, int64_t threads) {
  const Rows rows(M, each, slices);
  const Affine affine{center, scale, bias}, behind{out_center, slope, offset};
  const int64_t step = row_step(C), width = whole_vectors(C), size = K * width;
  std::vector<double> sums(size_t(slices * 2 * C), 0.0);
  rows.each_slice(threads, [&](int64_t i) {
    float *act = scratch(size_t(each * (step + K))), *g = act + each * step;
    if (grad_w != nullptr) std::memset(partial + i * size, 0, size_t(size) * 4);
    rows.each_block(i, [&](int64_t first, int64_t count) {
      activate(x + first * ldx, ldx, count, C, affine, act, step);
      finish(grad + first * K, out + first * K, count, K, behind, g);
      for (int64_t r = first; r < first + count; ++r) prefetch(total + r * ldt, C);
      if (grad_w != nullptr) weight_block(g, K, act, step, count, C, partial + i * size);
      const Panel panel{act, x + first * ldx, total + first * ldt, step, ldx, ldt, C, center, scale};
      mask_block(g, K, w, panel, count, &sums[size_t(i * 2 * C)]);
    });
  });
  for (int64_t c = 0; c < C; ++c) {
    double a = 0, b = 0;
    for (int64_t i = 0; i < slices; ++i) a += sums[size_t(i * 2 * C + c)], b += sums[size_t(i * 2 * C + C + c)];
    plain[c] = float(a), centered[c] = float(b);
  }
  if (grad_w == nullptr) return;
  for (int64_t k = 0; k < K; ++k)
    for (int64_t c = 0; c < C; ++c) {
      float sum = partial[k * width + c];
      for (int64_t i = 1; i < slices; ++i) sum += partial[i * size + k * width + c];
      grad_w[k * C + c] = sum;
    }
}

}  // extern "C"
