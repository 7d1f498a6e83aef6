// random_erasing: a rectangle of the picture is painted over (Zhong et al. 2017).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ingot/base/error.h"
#include "ingot/data/augment/augmentation.h"

namespace ingot::data {

namespace {

// Rectangles that are tried; where none fits, the picture stays as it is.
constexpr int kTries = 10;

struct ErasingOptions {
  double probability = 0.5;
  double smallest = 0.02;
  double largest = 0.33;
  double aspect = 0.3;
  double value = 0;
};

const OptionTable<ErasingOptions>& ErasingTable() {
  static const auto table =
      OptionTable<ErasingOptions>("random_erasing", "a rectangle of the picture is painted over")
          .Add("probability", &ErasingOptions::probability, "share of the samples", Between(0, 1))
          .Add("smallest", &ErasingOptions::smallest, "share of the picture's area, at least",
               Limits{.low = 0, .high = 1, .low_exclusive = true})
          .Add("largest", &ErasingOptions::largest, "at most",
               Limits{.low = 0, .high = 1, .low_exclusive = true})
          .Add("aspect", &ErasingOptions::aspect,
               "height / width lies between this and its inverse",
               Limits{.low = 0, .high = 1, .low_exclusive = true})
          .Add("value", &ErasingOptions::value, "what is painted, before the transforms")
          .Shorthand("probability");
  return table;
}

class RandomErasing : public Augmentation {
 public:
  RandomErasing(const ErasingOptions& options, const PictureLayout& layout)
      : options_(options), layout_(layout), value_(layout.item()) {
    ConvertElements(&options.value, DType::kF64, value_.data(), layout.dtype, 1);
  }

  void Apply(Draws& draws, std::byte* sample, std::byte*) const override {
    if (draws.Uniform() >= options_.probability) return;
    const auto area = static_cast<double>(layout_.height * layout_.width);
    const double log_aspect = std::log(options_.aspect);
    for (int i = 0; i < kTries; ++i) {
      const double part = area * draws.Between(options_.smallest, options_.largest);
      const double aspect = std::exp(draws.Between(log_aspect, -log_aspect));
      const auto height = static_cast<int64_t>(std::llround(std::sqrt(part * aspect)));
      const auto width = static_cast<int64_t>(std::llround(std::sqrt(part / aspect)));
      if (height < 1 || width < 1 || height >= layout_.height || width >= layout_.width) continue;
      const int64_t top = draws.Below(layout_.height - height + 1);
      const int64_t left = draws.Below(layout_.width - width + 1);
      Paint(sample, top, left, height, width);
      return;
    }
  }

 private:
  void Paint(std::byte* sample, int64_t top, int64_t left, int64_t height, int64_t width) const {
    for (int64_t c = 0; c < layout_.channels; ++c) {
      for (int64_t y = top; y < top + height; ++y) {
        for (int64_t x = left; x < left + width; ++x) {
          std::memcpy(layout_.Element(sample, c, y, x), value_.data(), value_.size());
        }
      }
    }
  }

  ErasingOptions options_;
  PictureLayout layout_;
  std::vector<std::byte> value_;  // one element
};

std::unique_ptr<Augmentation> MakeErasing(const ErasingOptions& options, const Field& field) {
  const PictureLayout layout = LayoutOf(field, "random_erasing");
  if (options.smallest > options.largest) {
    throw Error(ErrorCode::kInvalidInput, "random_erasing: smallest is above largest");
  }
  const bool is_byte =
      options.value >= 0 && options.value <= 255 && options.value == std::floor(options.value);
  if (layout.dtype == DType::kU8 && !is_byte) {
    throw Error(ErrorCode::kInvalidInput,
                "random_erasing: pictures are bytes, value must be a whole number from 0 to 255");
  }
  return std::make_unique<RandomErasing>(options, layout);
}

}  // namespace

AugmentationKind RandomErasingKind() {
  return DefineAugmentation(ErasingTable(), MakeErasing);
}

}  // namespace ingot::data
