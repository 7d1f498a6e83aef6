// mixup (Zhang et al. 2017) and cutmix (Yun et al. 2019): a sample and another one, and their
// labels in the same shares.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ingot/data/augment/augmentation.h"

namespace ingot::data {

namespace {

struct MixupOptions {
  double alpha = 0.2;
  double probability = 1;
};

struct CutmixOptions {
  double alpha = 1;
  double probability = 1;
};

template <typename Options>
OptionTable<Options> MixingTable(const std::string& name, const std::string& summary) {
  return OptionTable<Options>(name, summary)
      .Add("alpha", &Options::alpha, "shares are drawn from Beta(alpha, alpha)", MoreThan(0))
      .Add("probability", &Options::probability, "share of the samples that are mixed",
           Between(0, 1))
      .Shorthand("alpha");
}

// Gamma(shape, 1) after Marsaglia & Tsang (2000).
double DrawGamma(Draws& draws, double shape) {
  if (shape < 1) {
    const double boost = std::pow(1 - draws.Uniform(), 1 / shape);
    return boost * DrawGamma(draws, shape + 1);
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = draws.Normal();
    const double root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    const double u = 1 - draws.Uniform();
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

double DrawBeta(Draws& draws, double alpha) {
  const double a = DrawGamma(draws, alpha);
  const double b = DrawGamma(draws, alpha);
  // Both may vanish for a tiny alpha, whose shares are 0 or 1.
  if (!(a + b > 0)) return draws.Uniform() < 0.5 ? 0 : 1;
  return a / (a + b);
}

class Mixup : public Mixing {
 public:
  explicit Mixup(const MixupOptions& options)
      : Mixing(options.probability), alpha_(options.alpha) {}

  double Apply(Draws& draws, DType dtype, void* sample, const void* partner,
               int64_t count) const override {
    const double share = DrawBeta(draws, alpha_);
    Blend(dtype, sample, partner, count, share);
    return share;
  }

 private:
  double alpha_;
};

class Cutmix : public Mixing {
 public:
  Cutmix(const CutmixOptions& options, const PictureLayout& layout)
      : Mixing(options.probability), alpha_(options.alpha), layout_(layout) {}

  // A rectangle of the partner with the picture's proportions, cut off at the picture's sides.
  double Apply(Draws& draws, DType dtype, void* sample, const void* partner,
               int64_t) const override {
    const double side = std::sqrt(1 - DrawBeta(draws, alpha_));
    const auto height = static_cast<int64_t>(side * static_cast<double>(layout_.height));
    const auto width = static_cast<int64_t>(side * static_cast<double>(layout_.width));
    const int64_t top = draws.Below(layout_.height) - height / 2;
    const int64_t left = draws.Below(layout_.width) - width / 2;
    const int64_t y0 = std::max<int64_t>(top, 0), y1 = std::min(top + height, layout_.height);
    const int64_t x0 = std::max<int64_t>(left, 0), x1 = std::min(left + width, layout_.width);
    if (y1 <= y0 || x1 <= x0) return 1;
    // Of what the network gets, which need not have the type of the pictures in the data.
    const size_t item = ItemSize(dtype);
    for (int64_t c = 0; c < layout_.channels; ++c) {
      for (int64_t y = y0; y < y1; ++y) {
        for (int64_t x = x0; x < x1; ++x) {
          const size_t at = static_cast<size_t>(layout_.At(c, y, x)) * item;
          std::memcpy(static_cast<std::byte*>(sample) + at,
                      static_cast<const std::byte*>(partner) + at, item);
        }
      }
    }
    return 1 - static_cast<double>((y1 - y0) * (x1 - x0)) /
                   static_cast<double>(layout_.height * layout_.width);
  }

 private:
  double alpha_;
  PictureLayout layout_;
};

const OptionTable<MixupOptions>& MixupTable() {
  static const auto table = MixingTable<MixupOptions>(
      "mixup", "every element is a mean of two samples, and so is the label");
  return table;
}

const OptionTable<CutmixOptions>& CutmixTable() {
  static const auto table = MixingTable<CutmixOptions>(
      "cutmix", "a rectangle comes from another sample, and so does a part of the label");
  return table;
}

std::unique_ptr<Mixing> MakeMixup(const MixupOptions& options, const Field&) {
  return std::make_unique<Mixup>(options);
}

std::unique_ptr<Mixing> MakeCutmix(const CutmixOptions& options, const Field& field) {
  return std::make_unique<Cutmix>(options, LayoutOf(field, "cutmix"));
}

}  // namespace

AugmentationKind MixupKind() {
  return DefineMixing(MixupTable(), MakeMixup);
}

AugmentationKind CutmixKind() {
  return DefineMixing(CutmixTable(), MakeCutmix);
}

}  // namespace ingot::data
