// Reading, renaming and checking of first weights: see start_weights.h.
#include "ingot/train/start_weights.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/formats/safetensors.h"
#include "ingot/nn/parameter_pattern.h"

namespace ingot::train {
namespace {

const OptionTable<RenameRule>& RenameTable() {
  static const auto table =
      OptionTable<RenameRule>("rename", "what a tensor of the file is called in the network")
          .Add("match", &RenameRule::match,
               "a pattern of names in the file, in which * is any text: \"encoder.*.weight\"")
          .Add("to", &RenameRule::to,
               "the parameter; each * stands for what the same * of match does. Empty: left out")
          .Add("transpose", &RenameRule::transpose,
               "whether the matrix is transposed, as PyTorch's Linear needs for a dense layer")
          .Required("match");
  return table;
}

// What each * of the pattern stands for; nothing where the text is of another form. The first * is
// as short as it can be.
std::optional<std::vector<std::string>> Captures(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) {
    if (pattern != text) return std::nullopt;
    return std::vector<std::string>{};
  }
  if (text.size() < star || pattern.substr(0, star) != text.substr(0, star)) return std::nullopt;
  for (size_t length = 0; star + length <= text.size(); ++length) {
    auto rest = Captures(pattern.substr(star + 1), text.substr(star + length));
    if (!rest) continue;
    rest->insert(rest->begin(), std::string(text.substr(star, length)));
    return rest;
  }
  return std::nullopt;
}

Tensor Transposed(const Tensor& matrix) {
  const int64_t rows = matrix.shape()[0];
  const int64_t columns = matrix.shape()[1];
  const size_t size = ItemSize(matrix.dtype());
  Tensor result(matrix.dtype(), Shape{columns, rows});
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      std::copy_n(matrix.raw() + static_cast<size_t>(i * columns + j) * size, size,
                  result.raw() + static_cast<size_t>(j * rows + i) * size);
    }
  }
  return result;
}

struct Source {
  std::string name;  // in the file
  bool transpose = false;
};

// By the name in the network.
std::map<std::string, Source> SourcesOf(const formats::SafetensorsFile& file,
                                        const StartOptions& options) {
  std::map<std::string, Source> sources;
  for (const formats::SafetensorsEntry& entry : file.entries()) {
    const Renamed renamed = Rename(options.rename, entry.name);
    if (renamed.left_out) continue;
    const auto [place, added] =
        sources.emplace(renamed.name, Source{entry.name, renamed.transpose});
    if (added) continue;
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("start_from: '{}' and '{}' of {} would both be the parameter '{}'",
                            place->second.name, entry.name, options.file, renamed.name),
                "change start_from.rename");
  }
  return sources;
}

void CheckRules(const formats::SafetensorsFile& file, const StartOptions& options) {
  for (const RenameRule& rule : options.rename) {
    std::vector<std::string> names;
    bool used = false;
    for (const formats::SafetensorsEntry& entry : file.entries()) {
      names.push_back(entry.name);
      used = used || Captures(rule.match, entry.name).has_value();
    }
    if (used) continue;
    throw Error(
        ErrorCode::kInvalidInput,
        fmt::format("start_from.rename: '{}' matches no tensor of {}", rule.match, options.file),
        DidYouMean(rule.match, names));
  }
}

Tensor TensorFor(const formats::SafetensorsFile& file, const Source& source,
                 const nn::ParameterSpec& parameter, const std::string& path) {
  Tensor tensor = file.Get(source.name);
  if (source.transpose && tensor.shape().rank() == 2) tensor = Transposed(tensor);
  if (tensor.shape() != parameter.shape || !IsFloat(tensor.dtype())) {
    const bool turned = tensor.shape().rank() == 2 && parameter.shape.rank() == 2 &&
                        tensor.shape()[0] == parameter.shape[1] &&
                        tensor.shape()[1] == parameter.shape[0];
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("start_from: '{}' of {} is {}, but the parameter '{}' of layer {} is "
                            "{}{}",
                            source.name, path, tensor.Describe(), parameter.name, parameter.layer,
                            Name(parameter.dtype), parameter.shape.ToString()),
                turned ? "a rule of start_from.rename with transpose: true turns it"
                       : "list it in start_from.fresh to begin without it");
  }
  return tensor.Cast(parameter.dtype);
}

bool MatchesAny(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return nn::MatchesPattern(pattern, name); });
}

}  // namespace

const OptionTable<StartOptions>& StartTable() {
  static const auto table =
      OptionTable<StartOptions>("start_from", "first weights from a file, as for fine-tuning")
          .AddFile("file", &StartOptions::file,
                   "a safetensors file, such as checkpoints/final/model.safetensors of a run; a "
                   "relative name is looked for beside the job file")
          .AddList("rename", &StartOptions::rename, RenameTable(),
                   "what the tensors of the file are called in the network; the first rule that "
                   "matches counts")
          .Add("fresh", &StartOptions::fresh,
               "patterns of parameters that begin as they would without the file: \"head.*\"")
          .Required("file")
          .Shorthand("file");
  return table;
}

Renamed Rename(const std::vector<RenameRule>& rules, const std::string& name) {
  for (const RenameRule& rule : rules) {
    const auto captures = Captures(rule.match, name);
    if (!captures) continue;
    Renamed renamed{"", rule.transpose, rule.to.empty()};
    size_t next = 0;
    for (const char c : rule.to) {
      if (c == '*' && next < captures->size()) {
        renamed.name += (*captures)[next++];
      } else {
        renamed.name += c;
      }
    }
    return renamed;
  }
  return {name};
}

StartWeights ReadStartWeights(const StartOptions& options,
                              const std::vector<nn::ParameterSpec>& parameters) {
  for (const std::string& pattern : options.fresh) {
    nn::CheckPattern(pattern, parameters, "start_from.fresh");
  }
  const formats::SafetensorsFile file = formats::SafetensorsFile::Open(options.file);
  CheckRules(file, options);
  const std::map<std::string, Source> sources = SourcesOf(file, options);
  StartWeights start;
  size_t fresh = 0;
  for (const nn::ParameterSpec& parameter : parameters) {
    if (MatchesAny(options.fresh, parameter.name)) {
      ++fresh;
      continue;
    }
    const auto source = sources.find(parameter.name);
    if (source == sources.end()) {
      std::vector<std::string> names;
      for (const auto& entry : sources) names.push_back(entry.first);
      throw Error(ErrorCode::kInvalidInput,
                  fmt::format("start_from: {} has no tensor for the parameter '{}' of layer {}",
                              options.file, parameter.name, parameter.layer),
                  DidYouMean(parameter.name, names) +
                      "; name it with start_from.rename, or begin without it: start_from.fresh");
    }
    start.tensors.push_back(
        {parameter.name, TensorFor(file, source->second, parameter, options.file)});
  }
  start.report = fmt::format("{} parameters begin as in {}", start.tensors.size(), options.file);
  if (fresh > 0) start.report += fmt::format(", {} anew", fresh);
  const size_t unused = file.entries().size() - start.tensors.size();
  if (unused > 0) start.report += fmt::format("; {} tensors of the file are not used", unused);
  return start;
}

}  // namespace ingot::train
