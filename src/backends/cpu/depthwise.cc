// Vectors of channels; the nine weights of a 3x3 filter stay in registers along a row.
#include "backends/cpu/depthwise.h"

#include <algorithm>

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

// One output row of one sample.
class DepthwiseRow {
 public:
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
    input_ = operands.x + (sample * rows.input + top) * line_;
    output_ = (sample * rows.output + row) * shape.columns.output * channels_;
  }

  void Run() {
    const DTag d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    for (int64_t c = 0; c < channels_; c += lanes) {
      // The last vector is moved back rather than cut.
      const int64_t at = channels_ >= lanes ? std::min(c, channels_ - lanes) : c;
      RunVector(at, std::min(lanes, channels_ - at));
    }
  }

 private:
  static HWY_INLINE DVector Load(const float* from, int64_t count) {
    const DTag d;
    if (count == static_cast<int64_t>(hn::Lanes(d))) return hn::LoadU(d, from);
    HWY_ALIGN float edge[16] = {};
    std::copy_n(from, count, edge);
    return hn::Load(d, edge);
  }
  static HWY_INLINE void Store(DVector value, float* to, int64_t count) {
    const DTag d;
    if (count == static_cast<int64_t>(hn::Lanes(d))) {
      hn::StoreU(value, d, to);
      return;
    }
    HWY_ALIGN float edge[16];
    hn::Store(value, d, edge);
    std::copy_n(edge, count, to);
  }

  HWY_INLINE void Finish(DVector value, int64_t column, int64_t c, int64_t count) {
    const DTag d;
    const int64_t at = output_ + column * channels_ + c;
    if (x_.residual != nullptr) value = hn::Add(value, Load(x_.residual + at, count));
    Store(Activate(d, x_.epilogue, value, value), x_.y + at, count);
  }

  void RunVector(int64_t c, int64_t count) {
    const DTag d;
    const DVector bias = x_.bias == nullptr ? hn::Zero(d) : Load(x_.bias + c, count);
    const bool is_three = s_.columns.kernel == 3 && s_.rows.kernel == 3 &&
                          count == static_cast<int64_t>(hn::Lanes(d));
    if (is_three && first_tap_ == 0 && taps_end_ == 3) return ChooseActivation<0, 3>(c, bias);
    if (is_three && first_tap_ == 1 && taps_end_ == 3) return ChooseActivation<1, 3>(c, bias);
    if (is_three && first_tap_ == 0 && taps_end_ == 2) return ChooseActivation<0, 2>(c, bias);
    for (int64_t j = 0; j < s_.columns.output; ++j) {
      Finish(SumAt(j, c, count, bias), j, c, count);
    }
  }

  HWY_INLINE DVector SumAt(int64_t j, int64_t c, int64_t count, DVector sum) {
    const ConvolutionAxis& columns = s_.columns;
    const int64_t left = j * columns.stride - columns.pad;
    for (int64_t y = first_tap_; y < taps_end_; ++y) {
      const float* row = input_ + y * s_.rows.dilation * line_ + c;
      for (int64_t x = 0; x < columns.kernel; ++x) {
        const int64_t at = left + x * columns.dilation;
        if (at < 0 || at >= columns.input) continue;
        sum = hn::MulAdd(Load(row + at * channels_, count),
                         Load(w_ + (y * columns.kernel + x) * channels_ + c, count), sum);
      }
    }
    return sum;
  }

  // The common ones without a look at which it is for every vector.
  template <int Y0, int Y1>
  void ChooseActivation(int64_t c, DVector bias) {
    using Kind = Epilogue::Kind;
    switch (x_.residual == nullptr ? x_.epilogue.kind : Kind::kReluGradient) {
      case Kind::kNone:
        return RunThreeByThree<Y0, Y1, Kind::kNone>(c, bias);
      case Kind::kRelu:
        return RunThreeByThree<Y0, Y1, Kind::kRelu>(c, bias);
      case Kind::kClip:
        return RunThreeByThree<Y0, Y1, Kind::kClip>(c, bias);
      default:  // kReluGradient, which no convolution has, stands for all others
        return RunThreeByThree<Y0, Y1, Kind::kReluGradient>(c, bias);
    }
  }

  template <Epilogue::Kind kKind>
  HWY_INLINE void FinishWhole(DVector value, int64_t column, int64_t c) {
    const DTag d;
    if constexpr (kKind == Epilogue::Kind::kReluGradient) {
      Finish(value, column, c, static_cast<int64_t>(hn::Lanes(d)));
    } else {
      const Epilogue epilogue{kKind, x_.epilogue.alpha, x_.epilogue.beta};
      hn::StoreU(Activate(d, epilogue, value, value), d, x_.y + output_ + column * channels_ + c);
    }
  }

  // The taps in these rows and columns of the filter; `from`: where its first one reads.
  template <int Y0, int Y1, int X0, int X1>
  HWY_INLINE DVector Sum(const float* from, const DVector (&w)[9], int64_t step, int64_t down,
                         DVector sum) {
    const DTag d;
#pragma GCC unroll 3
    for (int y = Y0; y < Y1; ++y) {
#pragma GCC unroll 3
      for (int x = X0; x < X1; ++x) {
        sum = hn::MulAdd(hn::LoadU(d, from + y * down + x * step), w[y * 3 + x], sum);
      }
    }
    return sum;
  }

  template <int Y0, int Y1, Epilogue::Kind kKind>
  void RunThreeByThree(int64_t c, DVector bias) {
    const DTag d;
    DVector w[9];
#pragma GCC unroll 9
    for (int i = 0; i < 9; ++i) w[i] = hn::LoadU(d, w_ + i * channels_ + c);
    const ConvolutionAxis& columns = s_.columns;
    const int64_t step = columns.dilation * channels_;
    const int64_t down = s_.rows.dilation * line_;
    const int64_t reach = 2 * columns.dilation;
    for (int64_t j = 0; j < columns.output;) {
      const int64_t left = j * columns.stride - columns.pad;
      const float* from = input_ + left * channels_ + c;
      const bool has_first = left >= 0, has_last = left + reach < columns.input;
      if (has_first && has_last) {
        const int64_t end =
            std::min((columns.input - 1 - reach - left) / columns.stride + 1 + j, columns.output);
        const int64_t along = columns.stride * channels_;
        for (; j < end; ++j, from += along) {
          FinishWhole<kKind>(Sum<Y0, Y1, 0, 3>(from, w, step, down, bias), j, c);
        }
        continue;
      }
      const int64_t middle = left + columns.dilation;
      const bool has_middle = middle >= 0 && middle < columns.input;
      if (has_middle && has_first) {
        FinishWhole<kKind>(Sum<Y0, Y1, 0, 2>(from, w, step, down, bias), j, c);
      } else if (has_middle && has_last) {
        FinishWhole<kKind>(Sum<Y0, Y1, 1, 3>(from, w, step, down, bias), j, c);
      } else {
        FinishWhole<kKind>(SumAt(j, c, static_cast<int64_t>(hn::Lanes(d)), bias), j, c);
      }
      ++j;
    }
  }

  const ConvolutionShape& s_;
  const float* w_;
  const PackedOperands& x_;
  int64_t channels_;
  int64_t first_tap_ = 0, taps_end_ = 0;  // rows of the filter that meet the plane
  int64_t line_ = 0;                      // floats of an input row
  const float* input_ = nullptr;          // where tap row 0 reads; may lie before the plane
  int64_t output_ = 0;                    // of the row's first value
};

void DepthwiseRowsImpl(const ConvolutionShape& shape, const float* w,
                       const PackedOperands& operands, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    DepthwiseRow(shape, w, operands, row / shape.rows.output, row % shape.rows.output).Run();
  }
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
