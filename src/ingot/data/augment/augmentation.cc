// What augmentations share.
#include "ingot/data/augment/augmentation.h"

#include "ingot/base/error.h"

namespace ingot::data {

PictureLayout LayoutOf(const Field& field, const std::string& who) {
  const Shape& shape = field.shape;
  const auto is_channels = [](int64_t extent) { return extent == 1 || extent == 3 || extent == 4; };
  if ((shape.rank() != 2 && shape.rank() != 3) || field.classes > 0 || !IsArithmetic(field.dtype)) {
    throw Error(ErrorCode::kInvalidInput,
                who + " changes pictures, but a sample of the data is " + field.Describe(),
                "expected [height, width], [channels, height, width] or [height, width, channels]");
  }
  PictureLayout layout;
  layout.dtype = field.dtype;
  if (shape.rank() == 2) {
    layout.height = shape[0];
    layout.width = shape[1];
    layout.row_stride = layout.width;
    layout.pixel_stride = 1;
  } else if (is_channels(shape[2]) && !is_channels(shape[0])) {
    layout.height = shape[0];
    layout.width = shape[1];
    layout.channels = shape[2];
    layout.channel_stride = 1;
    layout.pixel_stride = layout.channels;
    layout.row_stride = layout.width * layout.channels;
  } else {
    layout.channels = shape[0];
    layout.height = shape[1];
    layout.width = shape[2];
    layout.channel_stride = layout.height * layout.width;
    layout.row_stride = layout.width;
    layout.pixel_stride = 1;
  }
  return layout;
}

int64_t Draws::Below(int64_t n) {
  return static_cast<int64_t>(Uniform() * static_cast<double>(n));
}

}  // namespace ingot::data
