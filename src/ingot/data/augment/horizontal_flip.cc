// horizontal_flip: left and right change places.
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
      : options_(options), layout_(layout) {}

  void Apply(Draws& draws, std::byte* sample, std::byte* scratch) const override {
    if (draws.Uniform() >= options_.probability) return;
    MovePixels(
        layout_, sample, scratch, [](int64_t y) { return y; },
        [this](int64_t x) { return layout_.width - 1 - x; });
  }

 private:
  FlipOptions options_;
  PictureLayout layout_;
};

std::unique_ptr<Augmentation> MakeFlip(const FlipOptions& options, const Field& field) {
  return std::make_unique<HorizontalFlip>(options, LayoutOf(field, "horizontal_flip"));
}

}  // namespace

AugmentationKind HorizontalFlipKind() {
  return DefineAugmentation(FlipTable(), MakeFlip);
}

}  // namespace ingot::data
