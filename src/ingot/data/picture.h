// Pictures of any size from files to samples of one size: u8 [channels, height, width].
//
// Decoding, resizing and cropping give the same bits on every CPU: all of it is whole numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ingot/base/options.h"
#include "ingot/formats/image.h"
#include "ingot/tensor/shape.h"
#include "ingot/tensor/tensor.h"

namespace ingot::data {

// How pictures become samples; the options of every source of pictures begin with these.
struct PictureOptions {
  ConfigNode size;                // [height, width], or one number for both; null: as they are
  std::optional<int64_t> resize;  // the shorter side before the crop; none: as size needs
  std::string fit = "crop";       // or "stretch"
  std::string colour = "rgb";     // or "grey"

  int64_t channels() const { return colour == "grey" ? 1 : 3; }
};

// Adds them to the table of options that derive from PictureOptions.
template <typename Options>
void AddPictureOptions(OptionTable<Options>& table) {
  table
      .AddNode("size", &PictureOptions::size,
               "of a sample: [height, width], or one number for both (default: that of the first "
               "picture, which all must have)")
      .Add("resize", &PictureOptions::resize,
           "with fit: crop, what the shorter side is scaled to before the middle is cut out "
           "(default: as little as size needs)",
           AtLeast(1))
      .AddChoice("fit", &PictureOptions::fit,
                 "crop: scaled with its proportions, and the middle cut out; stretch: scaled to "
                 "size",
                 {"crop", "stretch"})
      .AddChoice("colour", &PictureOptions::colour, "rgb: 3 channels; grey: 1", {"rgb", "grey"});
}

// A picture [H, W, C] of bytes scaled to a size, with a triangle filter that is as wide as the
// reduction: a photo made smaller keeps an average of its pixels. Weights are rounded to 1/2^22 and
// each of the two passes to a byte, as Pillow's bilinear filter does.
Tensor ResizePicture(const Tensor& picture, formats::ImageSize size);

// A part of a picture.
struct PictureWindow {
  int64_t top = 0;
  int64_t left = 0;
  formats::ImageSize size;
};
// That part of ResizePicture(picture, size), without working out the rest.
Tensor ResizePicture(const Tensor& picture, formats::ImageSize size, const PictureWindow& window);

// Whether files of that ending ("jpg", "jpeg", "png") are pictures that can be read.
bool IsPictureEnding(std::string_view ending);

// Immutable and safe from any thread once the size is known.
class PictureReader {
 public:
  // Throws Error(kInvalidInput) for options that do not go together.
  explicit PictureReader(const PictureOptions& options);

  bool has_size() const { return size_.height > 0; }
  // For options without a size: the one that all pictures have.
  void SetSize(formats::ImageSize size) { size_ = size; }
  // The size of this picture, which is not decoded. Throws as formats::ParseImageSize does.
  void SetSizeOf(const formats::Blob& blob, const std::string& name);

  // [channels, height, width].
  Shape shape() const { return Shape{options_.channels(), size_.height, size_.width}; }

  // A PNG or JPEG into `out`, shape().size() bytes. Throws as formats::ParseImage does, and
  // Error(kInvalidInput) for a picture of another size where it is not to be scaled.
  void Read(const formats::Blob& blob, const std::string& name, uint8_t* out) const;

 private:
  formats::ImageSize ScaledSize(formats::ImageSize from) const;

  PictureOptions options_;
  formats::ImageSize size_;
  bool scales_ = false;
};

}  // namespace ingot::data
