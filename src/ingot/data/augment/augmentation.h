// Augmentation: a random change of a training sample, by name: `data.augment: [horizontal_flip]`.
//
// What is drawn depends on the seed of the job, the epoch, the record and the place in the list
// alone, so that the same samples come out for any number of threads and from any step that a run
// resumes at. Kinds are listed in augmenter.cc; each stands in a file of its own. Immutable and
// safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/data/source.h"
#include "ingot/tensor/philox.h"

namespace ingot::data {

// Where the elements of a picture lie, in elements: [C, H, W], [H, W] or [H, W, C].
struct PictureLayout {
  DType dtype = DType::kU8;
  int64_t channels = 1;
  int64_t height = 0;
  int64_t width = 0;
  int64_t channel_stride = 0;
  int64_t row_stride = 0;
  int64_t pixel_stride = 0;

  int64_t At(int64_t channel, int64_t y, int64_t x) const {
    return channel * channel_stride + y * row_stride + x * pixel_stride;
  }
  int64_t elements() const { return channels * height * width; }
  size_t item() const { return ItemSize(dtype); }
  std::byte* Element(std::byte* picture, int64_t channel, int64_t y, int64_t x) const {
    return picture + static_cast<size_t>(At(channel, y, x)) * item();
  }
};

// Of a field that holds pictures; rank 3 is [C, H, W] unless only its last extent can be channels.
// Throws Error(kInvalidInput) naming `who` for other fields.
PictureLayout LayoutOf(const Field& field, const std::string& who);

// Puts into every place (y, x) of a picture what stood at (from_y(y), from_x(x)), or zero where one
// of them is -1. `scratch` has room for the picture.
template <typename FromY, typename FromX>
void MovePixels(const PictureLayout& layout, std::byte* sample, std::byte* scratch, FromY from_y,
                FromX from_x) {
  const size_t item = layout.item();
  std::memcpy(scratch, sample, static_cast<size_t>(layout.elements()) * item);
  for (int64_t c = 0; c < layout.channels; ++c) {
    for (int64_t y = 0; y < layout.height; ++y) {
      const int64_t old_y = from_y(y);
      for (int64_t x = 0; x < layout.width; ++x) {
        const int64_t old_x = from_x(x);
        std::byte* out = layout.Element(sample, c, y, x);
        if (old_y < 0 || old_x < 0) {
          std::memset(out, 0, item);
        } else {
          std::memcpy(out, layout.Element(scratch, c, old_y, old_x), item);
        }
      }
    }
  }
}

// mine = share * mine + (1 - share) * other, element by element, of type f32 or f64.
void Blend(DType dtype, void* mine, const void* other, int64_t count, double share);

// Random numbers of one sample, one after another.
class Draws {
 public:
  explicit Draws(const RandomKey& key) : key_(key) {}
  // In [0, 1).
  double Uniform() { return key_.Uniform(next_++); }
  // In [low, high).
  double Between(double low, double high) { return low + (high - low) * Uniform(); }
  // In [0, n).
  int64_t Below(int64_t n);
  double Normal() { return key_.Fold(next_++, 1).Normal(0); }

 private:
  RandomKey key_;
  uint64_t next_ = 0;
};

class Augmentation {
 public:
  virtual ~Augmentation() = default;
  // Changes the bytes of a sample as it came from the source; `scratch` has room for as many.
  virtual void Apply(Draws& draws, std::byte* sample, std::byte* scratch) const = 0;
};

// What two samples become together: x = share * x + (1 - share) * partner, or a part of it.
class Mixing {
 public:
  virtual ~Mixing() = default;
  explicit Mixing(double probability) : probability_(probability) {}
  // Share of the samples that are mixed.
  double probability() const { return probability_; }
  // Mixes the partner's numbers (f32 or f64), as the network gets them, into those of the sample;
  // returns the share of the sample that is left, which its label keeps.
  virtual double Apply(Draws& draws, DType dtype, void* sample, const void* partner,
                       int64_t count) const = 0;

 private:
  double probability_;
};

struct AugmentationKind {
  std::string name;
  std::string summary;
  std::function<std::vector<OptionHelp>()> help;
  // One of them. Throws Error(kInvalidInput) for options or a field that do not fit.
  std::function<std::unique_ptr<Augmentation>(const ConfigNode&, const Field&)> make;
  std::function<std::unique_ptr<Mixing>(const ConfigNode&, const Field&)> make_mixing;
};

template <typename Options>
AugmentationKind DefineAugmentation(const OptionTable<Options>& table,
                                    std::unique_ptr<Augmentation> (*make)(const Options&,
                                                                          const Field&)) {
  return {table.name(), table.summary(), [&table] { return table.Help(table.name()); },
          [&table, make](const ConfigNode& node, const Field& field) {
            return make(table.Read(node), field);
          },
          nullptr};
}

template <typename Options>
AugmentationKind DefineMixing(const OptionTable<Options>& table,
                              std::unique_ptr<Mixing> (*make)(const Options&, const Field&)) {
  return {table.name(), table.summary(), [&table] { return table.Help(table.name()); }, nullptr,
          [&table, make](const ConfigNode& node, const Field& field) {
            return make(table.Read(node), field);
          }};
}

// One function for each file.
AugmentationKind RandomCropKind();
AugmentationKind HorizontalFlipKind();
AugmentationKind ColourJitterKind();
AugmentationKind RandomErasingKind();
AugmentationKind MixupKind();
AugmentationKind CutmixKind();

}  // namespace ingot::data
