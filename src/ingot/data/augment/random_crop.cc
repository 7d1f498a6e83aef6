// random_crop: a window of the picture's own size out of the picture with a border around it.
#include <algorithm>

#include "ingot/base/error.h"
#include "ingot/data/augment/augmentation.h"

namespace ingot::data {

namespace {

struct CropOptions {
  int64_t padding = 4;
  std::string border = "zero";
};

const OptionTable<CropOptions>& CropTable() {
  static const auto table =
      OptionTable<CropOptions>(
          "random_crop", "the picture is moved by up to padding in each direction, behind a border")
          .Add("padding", &CropOptions::padding, "pixels", Between(1, 1 << 30))
          .AddChoice("border", &CropOptions::border,
                     "what comes in at the sides: zero, the edge's pixels, or a reflection",
                     {"zero", "edge", "reflect"})
          .Shorthand("padding");
  return table;
}

class RandomCrop : public Augmentation {
 public:
  RandomCrop(const CropOptions& options, const PictureLayout& layout)
      : options_(options), layout_(layout) {
    if (options.border == "reflect" && options.padding >= std::min(layout.height, layout.width)) {
      throw Error(ErrorCode::kInvalidInput,
                  "random_crop: a padding of " + std::to_string(options.padding) +
                      " reflects more than a picture of " + std::to_string(layout.height) + " x " +
                      std::to_string(layout.width) + " has");
    }
  }

  void Apply(Draws& draws, std::byte* sample, std::byte* scratch) const override {
    const int64_t down = draws.Below(2 * options_.padding + 1) - options_.padding;
    const int64_t right = draws.Below(2 * options_.padding + 1) - options_.padding;
    if (down == 0 && right == 0) return;
    MovePixels(
        layout_, sample, scratch, [&](int64_t y) { return Source(y + down, layout_.height); },
        [&](int64_t x) { return Source(x + right, layout_.width); });
  }

 private:
  // The place that a place outside stands for; -1: zero.
  int64_t Source(int64_t at, int64_t extent) const {
    if (at >= 0 && at < extent) return at;
    if (options_.border == "zero") return -1;
    if (options_.border == "edge") return std::clamp<int64_t>(at, 0, extent - 1);
    return at < 0 ? -at : 2 * (extent - 1) - at;
  }

  CropOptions options_;
  PictureLayout layout_;
};

std::unique_ptr<Augmentation> MakeCrop(const CropOptions& options, const Field& field) {
  return std::make_unique<RandomCrop>(options, LayoutOf(field, "random_crop"));
}

}  // namespace

AugmentationKind RandomCropKind() {
  return DefineAugmentation(CropTable(), MakeCrop);
}

}  // namespace ingot::data
