// Inputs of models from files and from random numbers.
#include "ingot/cli/model_arguments.h"

#include <algorithm>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/tensor/philox.h"

namespace ingot::cli {

std::vector<Tensor> ReadInputs(const infer::Session& session, const formats::NpzFile& arrays,
                               const std::string& path) {
  const auto has = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  std::vector<std::string> names;
  std::vector<Tensor> inputs;
  for (const infer::PortInfo& port : session.inputs()) {
    names.push_back(port.name);
    if (!has(arrays.names(), port.name)) {
      throw Error(ErrorCode::kInvalidInput, "'" + path + "' has no array '" + port.name + "'",
                  "the model wants: " + session.DescribeInputs());
    }
    inputs.push_back(arrays.Get(port.name));
  }
  for (const std::string& name : arrays.names()) {
    if (has(names, name) || session.IsReplaceable(name)) continue;
    throw Error(ErrorCode::kInvalidInput,
                "'" + path + "' has an array '" + name + "', but the model has no such input",
                "the model wants: " + session.DescribeInputs());
  }
  return inputs;
}

std::map<std::string, int64_t> ParseDims(const std::vector<std::string>& texts) {
  std::map<std::string, int64_t> dims;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const std::string number = equals == std::string::npos ? "" : text.substr(equals + 1);
    const int64_t value = ParseWhole<int64_t>(number).value_or(-1);
    if (equals == 0 || value < 0) {
      throw Error(ErrorCode::kInvalidInput, "--dim: expected NAME=N, got '" + text + "'",
                  "for example --dim batch=8");
    }
    dims[text.substr(0, equals)] = value;
  }
  return dims;
}

std::vector<Tensor> RandomInputs(const infer::Session& session,
                                 const std::map<std::string, int64_t>& dims, uint64_t seed) {
  std::map<std::string, int64_t> unused = dims;
  std::vector<Tensor> inputs;
  for (const infer::PortInfo& port : session.inputs()) {
    if (port.kind != infer::PortInfo::Kind::kTensor || !port.has_rank ||
        !IsArithmetic(port.dtype)) {
      throw Error(ErrorCode::kInvalidInput,
                  "there are no random numbers for input " + port.Describe(),
                  "give arrays with --inputs");
    }
    std::vector<int64_t> extents = port.dims;
    for (size_t i = 0; i < extents.size(); ++i) {
      if (extents[i] >= 0) continue;
      const auto given = dims.find(port.symbols[i]);
      extents[i] = given == dims.end() ? 1 : given->second;
      unused.erase(port.symbols[i]);
    }
    const Shape shape(extents);
    std::vector<double> values(static_cast<size_t>(shape.size()));
    const RandomKey key(seed, "inputs", inputs.size());
    for (size_t i = 0; i < values.size(); ++i) {
      const double unit = key.Uniform(i);
      values[i] = IsFloat(port.dtype) ? 2 * unit - 1 : static_cast<double>(unit < 0.5);
    }
    inputs.push_back(Tensor::Of<double>(shape, std::span<const double>(values)).Cast(port.dtype));
  }
  if (!unused.empty()) {
    throw Error(ErrorCode::kInvalidInput,
                "--dim: no input has a dimension '" + unused.begin()->first + "'",
                "the model wants: " + session.DescribeInputs());
  }
  return inputs;
}

}  // namespace ingot::cli
