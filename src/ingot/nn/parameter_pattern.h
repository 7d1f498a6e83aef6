// Patterns of parameters' names in a job: "*.bias", "layers.0.*".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ingot/nn/layer.h"

namespace ingot::nn {

// Whether the whole text is of the pattern's form: * stands for any text, ? for any character.
bool MatchesPattern(std::string_view pattern, std::string_view text);

// Throws Error(kInvalidInput) where a pattern matches none of the parameters; `whose`: "freeze".
void CheckPattern(const std::string& pattern, const std::vector<ParameterSpec>& parameters,
                  const std::string& whose);

}  // namespace ingot::nn
