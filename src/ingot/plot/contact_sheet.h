// Contact sheets: many small pictures with captions in one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ingot/tensor/tensor.h"

namespace ingot::plot {

struct SheetPicture {
  Tensor image;                       // u8 [h, w, 1 or 3]
  std::vector<std::string> captions;  // lines below it
};

// The bytes of a PNG; rows of `columns` pictures, each enlarged by a whole factor (or reduced) to
// about 120 units. Throws Error(kInvalidInput) without a picture.
std::string DrawContactSheet(const std::string& title, const std::vector<SheetPicture>& pictures,
                             int columns = 8);

// Data as a picture, u8 [h, w, 1 or 3]: from [h, w], [h, w, 1 or 3] or [1 or 3, h, w], numbers
// other than bytes scaled so that the smallest is black and the largest white. Nothing where the
// shape is not that of a picture.
std::optional<Tensor> AsPicture(const Tensor& data);

}  // namespace ingot::plot
