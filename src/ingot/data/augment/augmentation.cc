// What augmentations share.
#include "ingot/data/augment/augmentation.h"

#include "ingot/base/error.h"

namespace ingot::data {

namespace {

template <typename T>
void BlendElements(T* mine, const T* other, int64_t count, double share) {
  const T a = static_cast<T>(share);
  const T b = static_cast<T>(1 - share);
  for (int64_t i = 0; i < count; ++i) mine[i] = mine[i] * a + other[i] * b;
}

}  // namespace

void Blend(DType dtype, void* mine, const void* other, int64_t count, double share) {
  INGOT_ASSERT(dtype == DType::kF32 || dtype == DType::kF64, "samples are mixed as floats");
  if (dtype == DType::kF64) {
    BlendElements(static_cast<double*>(mine), static_cast<const double*>(other), count, share);
  } else {
    BlendElements(static_cast<float*>(mine), static_cast<const float*>(other), count, share);
  }
}

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
