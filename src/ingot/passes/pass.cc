// PassRunner: names, timing, dumps and verification.
#include "ingot/passes/pass.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/ir/printer.h"
#include "ingot/ir/verifier.h"

namespace ingot::passes {

const std::vector<PassInfo>& AllPasses() {
  static const std::vector<PassInfo> passes = {
      {"autodiff", "appends the gradient of the loss", false},
      {"mixed_precision", "rounds what products multiply to 16 bits", false},
      {"split_tensor", "cuts layers for one place of a mesh", false},
      {"specialize", "gives symbolic dimensions their numbers", false},
      {"propagate_shapes", "infers types and makes what is computed from shapes constant", false},
      {"resolve_like", "turns SumToLike, ExpandLike, ReshapeLike into constant shapes", false},
      {"canonicalize", "removes what computes nothing and moves transposes into products"},
      {"fold_constants", "computes what depends on constants alone"},
      {"merge_common_subexpressions", "makes equal computations one"},
      {"eliminate_dead_code", "removes what nothing depends on"},
      {"hoist_weight_gradients", "computes weight gradients outside of the shards"},
      {"fuse_quantized", "makes quantised products with what surrounds them one integer op"},
      {"fold_batch_norm", "folds batch normalisation into the convolution before it"},
      {"recognize",
       "writes what exporters spell out in many ops (Gelu, LayerNormalization) as one"},
      {"fuse_attention", "makes the products and the softmax of attention one op"},
      {"fuse_convolution", "makes convolutions with bias, residual and activation one op"},
      {"lower_conv_transpose",
       "makes transposed convolutions gradients of the input of convolutions"},
      {"channels_last", "gives convolutions and what is between them channels as the last axis"},
      {"fuse_matmul", "makes products with bias and activation one op"},
      {"fuse_elementwise", "makes chains of elementwise ops one op"},
      {"recompute_activations", "computes again what would take memory until the backward pass"},
      {"plan_memory", "places every value in one arena", false},
  };
  return passes;
}

namespace {

void CheckDisabled(const std::vector<std::string>& disabled) {
  std::vector<std::string> optional;
  for (const PassInfo& pass : AllPasses()) {
    if (pass.optional) optional.push_back(pass.name);
  }
  for (const std::string& name : disabled) {
    if (std::find(optional.begin(), optional.end(), name) != optional.end()) continue;
    const auto is_named = [&name](const PassInfo& pass) { return pass.name == name; };
    const bool exists = std::any_of(AllPasses().begin(), AllPasses().end(), is_named);
    if (exists) {
      throw Error(ErrorCode::kInvalidInput, "pass '" + name + "' cannot be switched off",
                  "these can: " + Join(optional, ", "));
    }
    throw Error(ErrorCode::kInvalidInput, "there is no pass '" + name + "' to switch off",
                DidYouMean(name, optional));
  }
}

std::string FileName(size_t number, const std::string& graph, const std::string& pass,
                     const char* when) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%03zu", number);
  std::string name = std::string(digits) + "." + graph + "." + pass + "." + when + ".txt";
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '_') c = '-';
  }
  return name;
}

}  // namespace

PassRunner::PassRunner(PassOptions options) : options_(std::move(options)) {
  CheckDisabled(options_.disabled);
  if (!options_.dump_directory.empty()) return;
  if (const char* directory = std::getenv("INGOT_DUMP")) options_.dump_directory = directory;
}

void PassRunner::Dump(const std::string& name, const char* when, const ir::Graph& graph) const {
  if (options_.dump_directory.empty()) return;
  const std::filesystem::path directory = options_.dump_directory;
  const std::filesystem::path path =
      directory / FileName(timings_.size(), graph.name(), name, when);
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  std::ofstream file(path);
  file << ir::Print(graph);
  file.close();
  if (!file) {
    throw Error(ErrorCode::kIo, "cannot write the graph to " + path.string(),
                "INGOT_DUMP or the dump directory must name a folder that can be written");
  }
}

bool PassRunner::Run(const std::string& name, ir::Graph& graph,
                     const std::function<void(ir::Graph&)>& pass) {
  PassTiming timing{name, 0, graph.node_count(), graph.node_count(), false};
  const auto& disabled = options_.disabled;
  if (std::find(disabled.begin(), disabled.end(), name) != disabled.end()) {
    timing.skipped = true;
    timings_.push_back(std::move(timing));
    return false;
  }
  Dump(name, "before", graph);
  const auto start = std::chrono::steady_clock::now();
  pass(graph);
  timing.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  timing.nodes_after = graph.node_count();
  Dump(name, "after", graph);
  timings_.push_back(std::move(timing));
  if (!options_.verify) return true;
  try {
    ir::Verify(graph);
  } catch (const Error& error) {
    throw error.In("after pass '" + name + "'");
  }
  return true;
}

}  // namespace ingot::passes
