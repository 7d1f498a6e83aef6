// What the files of the zoo share: a model from its YAML.
#pragma once

#include <string>

#include "ingot/base/config.h"
#include "ingot/base/error.h"
#include "ingot/nn/network.h"

namespace ingot::nn::zoo {

// `text`: the `model:` section of a job.
inline ModelOptions Model(const std::string& text) {
  return ModelTable().Read(ParseConfig(text, "model zoo"));
}

inline void Require(bool holds, const std::string& what) {
  if (!holds) throw Error(ErrorCode::kInvalidInput, "the model zoo: " + what);
}

}  // namespace ingot::nn::zoo
