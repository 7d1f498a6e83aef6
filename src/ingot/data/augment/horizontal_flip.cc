// horizontal_flip: left and right change places.
#include <cstring>

#include "ingot/data/augment/augmentation.h"

namespace ingot::data {

namespace {

struct FlipOptions {
  double probability = 0.5;
};

const OptionTable<FlipOptions>& FlipTable() {
  static const auto table =
      OptionTable<FlipOptions>("horizontal_flip", "left and right change places")
          .Add("probability", &FlipOptions::probability, "share of the samples", Between(0, 1))
          .Shorthand("probability");
  return table;
}

class HorizontalFlip : public Augmentation {
 public:
  HorizontalFlip(const FlipOptions& options, const PictureLayout& layout)
      : options_(options), layout_(layout), item_(ItemSize(layout.dtype)) {}

  void Apply(Draws& draws, std::byte* sample, std::byte* scratch) const override {
    if (draws.Uniform() >= options_.probability) return;
    std::memcpy(scratch, sample, static_cast<size_t>(layout_.elements()) * item_);
    for (int64_t c = 0; c < layout_.channels; ++c) {
      for (int64_t y = 0; y < layout_.height; ++y) {
        for (int64_t x = 0; x < layout_.width; ++x) {
          std::memcpy(Element(sample, c, y, x), Element(scratch, c, y, layout_.width - 1 - x),
                      item_);
        }
      }
    }
  }

 private:
  std::byte* Element(std::byte* picture, int64_t c, int64_t y, int64_t x) const {
    return picture + static_cast<size_t>(layout_.At(c, y, x)) * item_;
  }

  FlipOptions options_;
  PictureLayout layout_;
  size_t item_;
};

std::unique_ptr<Augmentation> MakeFlip(const FlipOptions& options, const Field& field) {
  return std::make_unique<HorizontalFlip>(options, LayoutOf(field, "horizontal_flip"));
}

}  // namespace

AugmentationKind HorizontalFlipKind() {
  return DefineAugmentation(FlipTable(), MakeFlip);
}

}  // namespace ingot::data
