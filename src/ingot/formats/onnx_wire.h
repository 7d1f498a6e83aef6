// The wire format of an ONNX model, walked without parsing: finds the bytes of its weights, so that
// they can be viewed where they lie in the file instead of being copied.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace ingot::formats {

struct LeanModel {
  struct Range {
    bool is_left_out = false;
    size_t offset = 0;  // in the file
    size_t size = 0;
  };
  bool is_lean = false;        // false: parse the file itself, `bytes` is empty
  std::string bytes;           // the model without the raw bytes of large initializers
  std::vector<Range> weights;  // one for each initializer of the graph, in their order
};

// Never throws: what cannot be walked is left to the parser, which says what is wrong with it.
LeanModel LeaveOutWeights(std::span<const std::byte> model);

}  // namespace ingot::formats
