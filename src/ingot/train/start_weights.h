// Weights from a safetensors file as the first values of a network's parameters: fine-tuning.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/base/options.h"
#include "ingot/formats/bytes.h"
#include "ingot/nn/layer.h"

namespace ingot::train {

// What a tensor of the file is called in the network. `match` is a pattern of the file's names;
// each
// * in `to` stands for what the * of the same number in `match` stands for.
struct RenameRule {
  std::string match;
  std::string to;          // "": the tensor is left out
  bool transpose = false;  // of a matrix: PyTorch has [out, in], a dense layer [in, out]
};

// The `start_from:` section of a job.
struct StartOptions {
  std::string file;
  std::vector<RenameRule> rename;  // the first rule that matches counts; others keep their names
  std::vector<std::string> fresh;  // patterns of parameters that begin as without the file
};

const OptionTable<StartOptions>& StartTable();

// `text` after the rules: nothing where a rule leaves it out.
struct Renamed {
  std::string name;
  bool transpose = false;
  bool left_out = false;
};
Renamed Rename(const std::vector<RenameRule>& rules, const std::string& name);

struct StartWeights {
  std::vector<formats::NamedTensor> tensors;  // of the parameters' types and shapes
  std::string report;                         // "12 parameters from FILE; 2 begin anew; ..."
};

// Throws Error(kInvalidInput) naming a parameter that is in neither the file nor `fresh` (with the
// nearest name of the file), one of another shape (with both), two tensors of one name, or a
// pattern that matches nothing; and what the reader of the file throws.
StartWeights ReadStartWeights(const StartOptions& options,
                              const std::vector<nn::ParameterSpec>& parameters);

}  // namespace ingot::train
