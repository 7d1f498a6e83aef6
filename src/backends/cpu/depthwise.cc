// Tiles of a few columns (and two rows of a 3x3 filter with stride 1), vector of channels by vector
// of channels: memory is read in order, and most reads serve several sums.
#include "backends/cpu/depthwise.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/depthwise.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DTag = hn::CappedTag<float, 16>;
using DVector = hn::Vec<DTag>;

// Sums of a tile: a load of a pixel serves all of them that it meets.
constexpr int kMostColumns = 4;

// None, relu and clip are bounds that NaN passes; other activations and residuals are looked at.
template <bool kBounded>
class DepthwiseRow {
 public:
  // Of one sample; `row` and, where RunTwo is called, the next one.
  DepthwiseRow(const ConvolutionShape& shape, const float* w, const PackedOperands& operands,
               int64_t sample, int64_t row)
      : s_(shape), w_(w), x_(operands), channels_(shape.channels) {
    const ConvolutionAxis& rows = shape.rows;
    const int64_t top = row * rows.stride - rows.pad;
    while (first_tap_ < rows.kernel && top + first_tap_ * rows.dilation < 0) ++first_tap_;
    taps_end_ = rows.kernel;
    while (taps_end_ > first_tap_ && top + (taps_end_ - 1) * rows.dilation >= rows.input)
      --taps_end_;
    line_ = shape.columns.input * channels_;
    down_ = rows.dilation * line_;
    across_ = shape.columns.output * channels_;
    input_ = operands.x + (sample * rows.input + top) * line_;
    output_ = (sample * rows.output + row) * shape.columns.output * channels_;
    const Epilogue& epilogue = operands.epilogue;
    if (epilogue.kind == Epilogue::Kind::kRelu) low_ = 0;
    if (epilogue.kind == Epilogue::Kind::kClip) {
      low_ = epilogue.alpha;
      high_ = epilogue.beta;
    }
  }

  void Run() {
    const ConvolutionAxis& columns = s_.columns;
    const bool tiles = columns.dilation == 1 && channels_ >= Lanes();
    if (tiles && columns.kernel == 3 && columns.stride == 1) return RunTiles<3, 1, 1>();
    if (tiles && columns.kernel == 3 && columns.stride == 2) return RunTiles<3, 2, 1>();
    if (tiles && columns.kernel == 5 && columns.stride == 1) return RunTiles<5, 1, 1>();
    if (tiles && columns.kernel == 5 && columns.stride == 2) return RunTiles<5, 2, 1>();
    for (int64_t j = 0; j < columns.output; ++j) RunColumn(j, output_, input_);
  }

  // Two neighbouring rows that meet all of a 3x3 filter, stride 1.
  void RunTwo() { RunTiles<3, 1, 2>(); }

 private:
  static int64_t Lanes() { return static_cast<int64_t>(hn::Lanes(DTag())); }
  static HWY_INLINE DVector Load(const float* from, int64_t count) {
    const DTag d;
    if (count == Lanes()) return hn::LoadU(d, from);
    HWY_ALIGN float edge[16] = {};
    std::copy_n(from, count, edge);
    return hn::Load(d, edge);
  }
  static HWY_INLINE void Store(DVector value, float* to, int64_t count) {
    const DTag d;
    if (count == Lanes()) {
      hn::StoreU(value, d, to);
      return;
    }
    HWY_ALIGN float edge[16];
    hn::Store(value, d, edge);
    std::copy_n(edge, count, to);
  }

  // Stores what belongs at `at` of the output.
  HWY_INLINE void Finish(DVector value, int64_t at, int64_t count) const {
    const DTag d;
    if constexpr (kBounded) {  // its kind known here, so that it is no choice
      value = Activate(d, {Epilogue::Kind::kClip, low_, high_}, value, value);
    } else {
      value = FinishAny(value, at, count);
    }
    Store(value, x_.y + at, count);
  }

  // By itself: every activation inlined into every tile would be most of the code.
  HWY_NOINLINE DVector FinishAny(DVector value, int64_t at, int64_t count) const {
    if (x_.residual != nullptr) value = hn::Add(value, Load(x_.residual + at, count));
    return Activate(DTag(), x_.epilogue, value, value);
  }

  // Any column of any filter.
  void RunColumn(int64_t j, int64_t output, const float* input) const {
    const DTag d;
    const ConvolutionAxis& columns = s_.columns;
    const int64_t left = j * columns.stride - columns.pad;
    int64_t first = 0, end = columns.kernel;
    while (first < end && left + first * columns.dilation < 0) ++first;
    while (end > first && left + (end - 1) * columns.dilation >= columns.input) --end;
    for (int64_t next = 0; next < channels_; next += Lanes()) {
      // The last vector is moved back rather than cut.
      const int64_t count = std::min(Lanes(), channels_);
      const int64_t c = std::min(next, channels_ - count);
      DVector sum = x_.bias == nullptr ? hn::Zero(d) : Load(x_.bias + c, count);
      for (int64_t y = first_tap_; y < taps_end_; ++y) {
        const float* row = input + y * down_ + left * channels_ + c;
        const float* w = w_ + y * columns.kernel * channels_ + c;
        for (int64_t x = first; x < end; ++x) {
          sum = hn::MulAdd(Load(row + x * columns.dilation * channels_, count),
                           Load(w + x * channels_, count), sum);
        }
      }
      Finish(sum, output + j * channels_ + c, count);
    }
  }

  // Columns at the edges of the plane one by one, the others by tiles of about equal size.
  template <int K, int kStride, int kRows>
  void RunTiles() {
    const ConvolutionAxis& columns = s_.columns;
    const int64_t begin = std::min((columns.pad + kStride - 1) / kStride, columns.output);
    const int64_t room = columns.input - K + columns.pad;  // of a window's first column
    const int64_t end =
        std::max(begin, room < 0 ? 0 : std::min(room / kStride + 1, columns.output));
    for (int row = 0; row < kRows; ++row) {
      for (int64_t j = 0; j < begin; ++j) RunEdge<K, kStride>(j, row);
      for (int64_t j = end; j < columns.output; ++j) RunEdge<K, kStride>(j, row);
    }
    RunBetween<K, kStride, kRows>(begin, end);
  }

  template <int K, int kStride, int kRows>
  void RunBetween(int64_t begin, int64_t end) const {
    if constexpr (hn::MaxLanes(DTag()) == 1) {  // no registers to fill
      for (int64_t j = begin; j < end; ++j) RunTile<K, kStride, kRows, 1>(j);
    } else {
      const int64_t tiles = (end - begin + kMostColumns - 1) / kMostColumns;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t j = begin + (end - begin) * tile / tiles;
        switch (begin + (end - begin) * (tile + 1) / tiles - j) {
          case 1:
            RunTile<K, kStride, kRows, 1>(j);
            break;
          case 2:
            RunTile<K, kStride, kRows, 2>(j);
            break;
          case 3:
            RunTile<K, kStride, kRows, 3>(j);
            break;
          default:
            RunTile<K, kStride, kRows, 4>(j);
        }
      }
    }
  }

  // A column at the edge; the usual ones without a look at every tap.
  template <int K, int kStride>
  void RunEdge(int64_t j, int row) const {
    const int64_t left = j * kStride - s_.columns.pad;
    const int64_t beyond = left + K - s_.columns.input;  // taps on the right
    if (left == -1 && beyond <= 0) return RunEdgeTaps<K, 1, K>(j, left, row);
    if (left >= 0 && beyond == 1) return RunEdgeTaps<K, 0, K - 1>(j, left, row);
    if constexpr (K == 5) {
      if (left == -2 && beyond <= 0) return RunEdgeTaps<K, 2, K>(j, left, row);
      if (left >= 0 && beyond == 2) return RunEdgeTaps<K, 0, K - 2>(j, left, row);
    }
    RunColumn(j, output_ + row * across_, input_ + row * line_);
  }

  template <int K, int X0, int X1>
  HWY_NOINLINE void RunEdgeTaps(int64_t j, int64_t left, int row) const {
    const DepthwiseRow own = *this;
    const float* input = input_ + row * line_ + left * channels_;
    const int64_t output = output_ + row * across_ + j * channels_;
    const int64_t last = own.channels_ - Lanes();
    for (int64_t c = 0; c < own.channels_; c += Lanes()) {
      const int64_t at = std::min(c, last);
      own.template SumOne<K, 1, 1, X0, X1>(input + at, own.w_ + at, output + at, at);
    }
  }

  template <int K, int kStride, int kRows, int N>
  HWY_NOINLINE void RunTile(int64_t j) const {
    // A copy whose members the stores cannot change.
    const DepthwiseRow own = *this;
    const float* input = input_ + (j * kStride - s_.columns.pad) * channels_;
    const int64_t output = output_ + j * channels_;
    const int64_t last = own.channels_ - Lanes();
    for (int64_t c = 0; c < own.channels_; c += Lanes()) {
      const int64_t at = std::min(c, last);
      if constexpr (kRows == 2) {
        own.template SumTwo<N>(input + at, own.w_ + at, output + at, at);
      } else {
        own.template SumOne<K, kStride, N>(input + at, own.w_ + at, output + at, at);
      }
    }
  }

  template <int K, int kStride, int N, int X0 = 0, int X1 = K>
  HWY_INLINE void SumOne(const float* input, const float* w, int64_t output, int64_t c) const {
    const DTag d;
    DVector sum[N];
    const DVector bias = x_.bias == nullptr ? hn::Zero(d) : hn::LoadU(d, x_.bias + c);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[n] = bias;
    const int64_t down = down_;
    for (int64_t y = first_tap_; y < taps_end_; ++y) {
      DVector tap[K];
#pragma GCC unroll 5
      for (int x = X0; x < X1; ++x) tap[x] = hn::LoadU(d, w + (y * K + x) * channels_);
      const float* pixel = input + y * down + X0 * channels_;
#pragma GCC unroll 16
      for (int i = X0; i < (N - 1) * kStride + X1; ++i) {
        const DVector value = hn::LoadU(d, pixel);
        pixel += channels_;
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
          const int x = i - n * kStride;
          if (x >= X0 && x < X1) sum[n] = hn::MulAdd(value, tap[x], sum[n]);
        }
      }
    }
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) Finish(sum[n], output + n * channels_, Lanes());
  }

  template <int N>
  HWY_INLINE void SumTwo(const float* input, const float* w, int64_t output, int64_t c) const {
    const DTag d;
    DVector sum[2][N];
    const DVector bias = x_.bias == nullptr ? hn::Zero(d) : hn::LoadU(d, x_.bias + c);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[0][n] = sum[1][n] = bias;
    DVector tap[2][3];  // of the upper row and the lower one
#pragma GCC unroll 4
    for (int y = 0; y < 4; ++y) {
#pragma GCC unroll 3
      for (int x = 0; x < 3; ++x) {
        if (y > 0) tap[1][x] = tap[0][x];
        if (y < 3) tap[0][x] = hn::LoadU(d, w + (y * 3 + x) * channels_);
      }
      const float* pixel = input + y * line_;
#pragma GCC unroll 8
      for (int i = 0; i < N + 2; ++i) {
        const DVector value = hn::LoadU(d, pixel);
        pixel += channels_;
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
          const int x = i - n;
          if (x < 0 || x > 2) continue;
          if (y < 3) sum[0][n] = hn::MulAdd(value, tap[0][x], sum[0][n]);
          if (y > 0) sum[1][n] = hn::MulAdd(value, tap[1][x], sum[1][n]);
        }
      }
    }
    const int64_t across = across_;
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      Finish(sum[0][n], output + n * channels_, Lanes());
      Finish(sum[1][n], output + across + n * channels_, Lanes());
    }
  }

  const ConvolutionShape& s_;
  const float* w_;
  const PackedOperands x_;
  int64_t channels_;
  float low_ = -std::numeric_limits<float>::infinity();
  float high_ = std::numeric_limits<float>::infinity();
  int64_t first_tap_ = 0, taps_end_ = 0;  // rows of the filter that meet the plane
  int64_t line_ = 0, across_ = 0;         // floats of an input row and an output row
  int64_t down_ = 0;                      // from a tap to the one below it
  const float* input_ = nullptr;          // where tap row 0 reads; may lie before the plane
  int64_t output_ = 0;                    // of the row's first value
};

template <bool kBounded>
void RunRows(const ConvolutionShape& shape, const float* w, const PackedOperands& operands,
             int64_t begin, int64_t end) {
  const ConvolutionAxis &rows = shape.rows, &columns = shape.columns;
  const bool pairs = rows.kernel == 3 && columns.kernel == 3 && rows.stride == 1 &&
                     columns.stride == 1 && rows.dilation == 1 && columns.dilation == 1 &&
                     shape.channels >= static_cast<int64_t>(hn::Lanes(DTag()));
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row % rows.output;
    DepthwiseRow<kBounded> run(shape, w, operands, row / rows.output, at);
    const bool two = pairs && row + 1 < end && at >= rows.pad && at + 1 < rows.output &&
                     at + 1 - rows.pad + 2 < rows.input;
    if (two) {
      run.RunTwo();
      ++row;
    } else {
      run.Run();
    }
  }
}

void DepthwiseRowsImpl(const ConvolutionShape& shape, const float* w,
                       const PackedOperands& operands, int64_t begin, int64_t end) {
  using Kind = Epilogue::Kind;
  const Kind kind = operands.epilogue.kind;
  const bool is_bounded = operands.residual == nullptr &&
                          (kind == Kind::kNone || kind == Kind::kRelu || kind == Kind::kClip);
  is_bounded ? RunRows<true>(shape, w, operands, begin, end)
             : RunRows<false>(shape, w, operands, begin, end);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(DepthwiseRowsImpl);

bool IsDepthwise(const ConvolutionShape& shape) {
  return shape.groups > 1 && shape.groups == shape.channels && shape.groups == shape.outputs;
}

void DepthwiseRows(const ConvolutionShape& shape, const float* w, const PackedOperands& operands,
                   int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(DepthwiseRowsImpl)(shape, w, operands, begin, end);
}

}  // namespace ingot::cpu
#endif
