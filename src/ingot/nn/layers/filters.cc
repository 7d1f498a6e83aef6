// Adding the parameters of convolutions.
#include "ingot/nn/layers/filters.h"

#include <string>

#include "ingot/base/error.h"
#include "ingot/nn/initializer.h"

namespace ingot::nn {

void CheckGroups(const FilterShape& shape) {
  const int64_t groups = shape.groups;
  if (groups >= 1 && shape.channels % groups == 0 && shape.filters % groups == 0) return;
  throw Error(ErrorCode::kInvalidInput,
              std::to_string(shape.channels) + " channels and " + std::to_string(shape.filters) +
                  " filters do not divide into " + std::to_string(groups) + " groups");
}

std::vector<ir::Value*> FilterInputs(LayerContext& context, ir::Value* x, const FilterShape& shape,
                                     bool transposed, const ConfigNode& kernel_initializer,
                                     const ConfigNode* bias_initializer) {
  const int64_t inputs = shape.channels / shape.groups, outputs = shape.filters / shape.groups;
  std::vector<int64_t> weight = {shape.filters, inputs};
  if (transposed) weight = {shape.channels, outputs};
  int64_t field = 1;
  for (const int64_t extent : shape.kernel) {
    weight.push_back(extent);
    field *= extent;
  }
  const Fans fans{inputs * field, outputs * field};
  std::vector<ir::Value*> operands = {
      x, context.AddParameter("weight", Shape(weight), ReadInitializer(kernel_initializer), fans)};
  if (bias_initializer != nullptr) {
    operands.push_back(context.AddParameter("bias", Shape{shape.filters},
                                            ReadInitializer(*bias_initializer), fans));
  }
  return operands;
}

}  // namespace ingot::nn
