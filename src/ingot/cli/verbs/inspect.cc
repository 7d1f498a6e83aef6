// ingot inspect: what a model takes, gives and consists of.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/text.h"
#include "ingot/cli/graph_drawing.h"
#include "ingot/cli/model_arguments.h"
#include "ingot/cli/program.h"
#include "ingot/compiler/flops.h"
#include "ingot/ir/builder.h"
#include "ingot/onnx/import.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/propagate_shapes.h"

namespace ingot::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Counts {
  std::map<std::string, int64_t> ops;
  int64_t parameters = 0;
  uint64_t parameter_bytes = 0;
};

// Of a graph and its subgraphs. A parameter is an element of a constant that is no shape or axis.
void Count(const ir::Graph& graph, Counts& counts) {
  for (const ir::Node* node : graph.nodes()) {
    if (node->op_type() == "Constant") {
      const ir::Type& type = node->output()->type();
      const bool is_weight =
          type.is_static() && type.rank() > 0 && (type.dtype() != DType::kI64 || type.rank() > 1);
      if (!is_weight) continue;
      counts.parameters += type.shape().size();
      counts.parameter_bytes += static_cast<uint64_t>(type.shape().size()) * ItemSize(type.dtype());
      continue;
    }
    ++counts.ops[node->op().FullName()];
    for (const auto& attribute : node->attributes()) {
      const auto* body = std::get_if<std::shared_ptr<ir::Graph>>(&attribute.second);
      if (body != nullptr) Count(**body, counts);
    }
  }
}

class Inspect : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("MODEL", &model_, "an ONNX file");
    options.Texts("--dim", &dims_, "NAME=N",
                  "the extent of a dynamic dimension, for shapes and FLOPs (default: 1)");
    options.Text("--svg", &svg_, "FILE", "draws the graph");
    options.Flag("--json", &json_, "prints JSON");
  }

  int Run(const Streams& streams) override {
    const std::map<std::string, int64_t> given = ParseDims(dims_);
    const ir::OpRegistry registry = ops::StandardOps();
    auto file = formats::OnnxFile::Open(model_);
    const onnx::ImportedModel model = onnx::ImportModel(file, registry);
    Counts counts;
    Count(*model.graph, counts);
    const Work work = WorkOf(*model.graph, given, registry);
    if (!svg_.empty()) WriteFileAtomically(RealFileSystem(), svg_, DrawGraph(*model.graph));
    streams.Out(json_ ? JsonOf(model, counts, work) : TextOf(model, counts, work));
    return kOk;
  }

 private:
  // What the model computes at the given extents.
  struct Work {
    double flops = 0;
    int64_t unknown = 0;  // nodes whose shapes depend on the values of inputs
    std::string problem;  // why these extents do not fit; else ""
  };
  static Work WorkOf(const ir::Graph& graph, const std::map<std::string, int64_t>& given,
                     const ir::OpRegistry& registry) {
    Work work;
    const std::unique_ptr<ir::Graph> sized = WithExtents(graph, given);
    try {
      passes::PropagateShapes(*sized, registry);
    } catch (const Error& error) {
      work.problem = error.message();
      return work;
    }
    for (const ir::Node* node : sized->nodes()) {
      if (IsStatic(*node)) {
        work.flops += compiler::FlopsOf(*node);
      } else {
        ++work.unknown;
      }
    }
    return work;
  }

  // A copy with every extent of its inputs a number.
  static std::unique_ptr<ir::Graph> WithExtents(const ir::Graph& graph,
                                                const std::map<std::string, int64_t>& given) {
    std::map<std::string, bool> used;
    for (const auto& entry : given) used[entry.first] = false;
    std::unique_ptr<ir::Graph> copy = graph.Clone();
    for (ir::Value* input : copy->inputs()) {
      if (!input->type().is_tensor() || !input->type().has_rank()) continue;
      ir::Dimensions dims = input->type().dims();
      for (ir::Dimension& dim : dims) {
        if (dim.is_static()) continue;
        const auto found = given.find(dim.symbol());
        if (found != given.end()) used[dim.symbol()] = true;
        dim = found == given.end() ? 1 : found->second;
      }
      input->set_type(input->type().WithDims(std::move(dims)));
    }
    for (const auto& [name, is_used] : used) {
      if (is_used) continue;
      throw Error(ErrorCode::kInvalidInput, "--dim: no input has a dimension '" + name + "'");
    }
    return copy;
  }

  static bool IsStatic(const ir::Node& node) {
    const auto is_static = [](const ir::Value* value) {
      return value == nullptr || !value->type().is_tensor() || value->type().is_static();
    };
    return std::all_of(node.inputs().begin(), node.inputs().end(), is_static) &&
           std::all_of(node.outputs().begin(), node.outputs().end(), is_static);
  }

  static std::vector<std::pair<std::string, std::string>> Ports(const onnx::ImportedModel& model,
                                                                bool outputs) {
    std::vector<std::pair<std::string, std::string>> ports;
    const ir::Graph& graph = *model.graph;
    if (!outputs) {
      for (const ir::Value* value : graph.inputs()) {
        ports.emplace_back(value->name(), value->type().ToString());
      }
    } else {
      for (size_t i = 0; i < graph.outputs().size(); ++i) {
        ports.emplace_back(graph.output_names()[i], model.output_types[i].ToString());
      }
    }
    return ports;
  }

  std::string TextOf(const onnx::ImportedModel& model, const Counts& counts,
                     const Work& work) const {
    std::string text = fmt::format("{}: opset {}{}\n", model_, model.opset,
                                   model.producer.empty() ? "" : ", by " + model.producer);
    for (const bool outputs : {false, true}) {
      text += outputs ? "outputs\n" : "inputs\n";
      for (const auto& [name, type] : Ports(model, outputs)) {
        text += fmt::format("  {:<20} {}\n", name, type);
      }
    }
    text += fmt::format("parameters {} ({})\n", WithThousands(counts.parameters),
                        HumanBytes(counts.parameter_bytes));
    if (work.problem.empty()) {
      const std::string rest = fmt::format(
          " (without {} nodes whose shapes depend on the inputs' values)", work.unknown);
      text += fmt::format("FLOPs      {}{}\n",
                          work.flops < 1e18 ? WithThousands(static_cast<int64_t>(work.flops))
                                            : fmt::format("{:.4g}", work.flops),
                          work.unknown == 0 ? "" : rest);
    } else {
      text += fmt::format("FLOPs      not known at these extents (see --dim): {}\n", work.problem);
    }
    text += "ops\n";
    for (const auto& [op, count] : counts.ops) text += fmt::format("  {:<28} {}\n", op, count);
    for (const auto& [key, value] : model.metadata) {
      const std::string line = value.substr(0, value.find('\n'));
      text += fmt::format("metadata {}: {}\n", key,
                          line.size() > 60 || line.size() < value.size()
                              ? HumanBytes(value.size()) + " of text"
                              : line);
    }
    return text;
  }

  static std::string JsonOf(const onnx::ImportedModel& model, const Counts& counts,
                            const Work& work) {
    Json json;
    json["opset"] = model.opset;
    json["producer"] = model.producer;
    for (const bool outputs : {false, true}) {
      Json& list = json[outputs ? "outputs" : "inputs"] = Json::array();
      for (const auto& [name, type] : Ports(model, outputs)) {
        list.push_back({{"name", name}, {"type", type}});
      }
    }
    json["parameters"] = counts.parameters;
    json["parameter_bytes"] = counts.parameter_bytes;
    json["flops"] = work.problem.empty() ? Json(work.flops) : Json();
    json["nodes_of_unknown_shape"] = work.unknown;
    json["ops"] = counts.ops;
    json["metadata"] = model.metadata;
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  }

  std::string model_;
  std::vector<std::string> dims_;
  std::string svg_;
  bool json_ = false;
};

}  // namespace

void AddInspect(Program& program) {
  program.Add<Inspect>(
      {.name = "inspect",
       .summary = "show a model's inputs, outputs, ops, parameters and FLOPs",
       .details = "FLOPs are those of products, convolutions and attention, a multiply-add counted "
                  "as two.",
       .example = "ingot inspect model.onnx\n"
                  "ingot inspect model.onnx --dim batch=64 --svg model.svg"});
}

}  // namespace ingot::cli
