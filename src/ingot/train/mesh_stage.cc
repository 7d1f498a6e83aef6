// Stages of a pipeline: see mesh_stage.h.
#include "ingot/train/mesh_stage.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/compiler/flops.h"
#include "ingot/ir/builder.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/rewrite.h"

namespace ingot::train {
namespace {

bool IsConstant(const ir::Value* value) {
  return passes::Is(value->producer(), "Constant");
}

// Where each node's values were made, and are used for the first and the last time.
class Places {
 public:
  explicit Places(const ir::Graph& graph) : nodes_(graph.nodes()) {
    for (size_t i = 0; i < nodes_.size(); ++i) index_[nodes_[i]] = i;
  }

  size_t count() const { return nodes_.size(); }

  size_t FirstUse(const ir::Value* value) const {
    size_t first = nodes_.size();
    for (const ir::Value::Use& use : value->uses()) first = std::min(first, index_.at(use.node));
    return first;
  }
  size_t LastUse(const ir::Value* value) const {
    size_t last = 0;
    for (const ir::Value::Use& use : value->uses()) last = std::max(last, index_.at(use.node));
    return value->is_graph_output() ? nodes_.size() : last;
  }

  // The one value that goes on behind node i; null where others do, too.
  const ir::Value* Crossing(size_t i) const {
    const ir::Value* crossing = nullptr;
    for (size_t n = 0; n <= i; ++n) {
      for (const ir::Value* output : nodes_[n]->outputs()) {
        if (!output->is_used() || IsConstant(output) || LastUse(output) <= i) continue;
        if (crossing != nullptr || output->is_graph_output()) return nullptr;
        crossing = output;
      }
    }
    return crossing;
  }

 private:
  std::vector<ir::Node*> nodes_;
  std::map<const ir::Node*, size_t> index_;
};

bool IsRows(const ir::Value* value) {
  const ir::Type& type = value->type();
  if (!type.is_tensor() || !type.has_rank() || type.rank() < 1) return false;
  if (!IsFloat(type.dtype()) || type.dim(0).symbol() != "batch") return false;
  for (int i = 1; i < type.rank(); ++i) {
    if (!type.dim(i).is_static()) return false;
  }
  return true;
}

// Parameters that are used up to node i.
int64_t ParametersUpTo(const ir::Graph& graph, const Places& places, size_t i) {
  return std::count_if(graph.inputs().begin(), graph.inputs().end(), [&](const ir::Value* input) {
    return input->role() == ir::Role::kParameter && places.FirstUse(input) <= i;
  });
}

// A parameter that is used on both sides of node i; null where there is none.
const ir::Value* SharedParameter(const ir::Graph& graph, const Places& places, size_t i) {
  for (const ir::Value* input : graph.inputs()) {
    if (input->role() != ir::Role::kParameter) continue;
    if (places.FirstUse(input) <= i && places.LastUse(input) > i) return input;
  }
  return nullptr;
}

}  // namespace

std::vector<size_t> ChooseCuts(const nn::Network& network, int stages) {
  if (stages == 1) return {};
  const std::unique_ptr<ir::Graph> sized = ir::Specialize(*network.graph, {{"batch", 1}});
  const Places places(*network.graph);
  const std::vector<ir::Node*> measured = sized->nodes();
  INGOT_ASSERT(measured.size() == places.count(), "a specialised graph has the same nodes");
  std::vector<double> work(places.count() + 1, 0);  // of the nodes before each
  std::vector<size_t> may_cut;
  const ir::Value* tied = nullptr;
  // A stage without parameters would have nothing to train: of the places between the same two
  // parameters the last counts.
  const int64_t parameters = ParametersUpTo(*network.graph, places, places.count());
  int64_t before_last = 0;
  for (size_t i = 0; i < places.count(); ++i) {
    // A little for what is no product, so that cuts stand at its edges.
    work[i + 1] = work[i] + compiler::FlopsOf(*measured[i]) + 1;
    const ir::Value* crossing = places.Crossing(i);
    if (crossing == nullptr || !IsRows(crossing)) continue;
    const ir::Value* shared = SharedParameter(*network.graph, places, i);
    if (shared != nullptr) {
      tied = shared;
      continue;
    }
    const int64_t before = ParametersUpTo(*network.graph, places, i);
    if (before == 0 || before == parameters) continue;
    if (before == before_last) may_cut.pop_back();
    may_cut.push_back(i);
    before_last = before;
  }
  const auto wanted = static_cast<size_t>(stages);
  if (may_cut.size() + 1 < wanted) {
    std::string why = "the network can be cut at " + std::to_string(may_cut.size()) + " places";
    if (tied != nullptr) {
      why += ", since '" + tied->name() + "' is used at its beginning and at its end";
    }
    throw Error(ErrorCode::kUnsupported,
                "mesh.pipeline is " + std::to_string(stages) + ", but " + why,
                "make mesh.pipeline smaller, or use dense in the place of tied_dense");
  }
  // best[s][c]: the least that the largest of s + 1 stages has to do, of which the last ends at
  // may_cut[c].
  const auto stage_work = [&](size_t begin, size_t end) { return work[end] - work[begin]; };
  const size_t cuts = wanted - 1;
  std::vector<std::vector<double>> best(cuts, std::vector<double>(may_cut.size(), 1e300));
  std::vector<std::vector<size_t>> previous(cuts, std::vector<size_t>(may_cut.size(), 0));
  for (size_t s = 0; s < cuts; ++s) {
    for (size_t c = s; c < may_cut.size(); ++c) {
      if (s == 0) best[s][c] = stage_work(0, may_cut[c] + 1);
      for (size_t b = s; s > 0 && b <= c; ++b) {
        const double most =
            std::max(best[s - 1][b - 1], stage_work(may_cut[b - 1] + 1, may_cut[c] + 1));
        if (most < best[s][c]) best[s][c] = most, previous[s][c] = b - 1;
      }
    }
  }
  std::vector<size_t> chosen;
  size_t last = cuts - 1;
  double least = 1e300;
  for (size_t c = cuts - 1; c < may_cut.size(); ++c) {
    const double most = std::max(best[cuts - 1][c], stage_work(may_cut[c] + 1, places.count()));
    if (most < least) least = most, last = c;
  }
  for (size_t s = cuts; s-- > 0;) {
    chosen.insert(chosen.begin(), may_cut[last]);
    last = previous[s][last];
  }
  return chosen;
}

namespace {

// Rows of the type of `like`, to be written over by what comes: of the data's, so that they have
// the number of the shard's rows, and zeros.
ir::Value* Placeholder(ir::Graph& graph, ir::Builder& builder, const ir::Value* like) {
  ir::Value* x = graph.inputs().at(0);
  const DType dtype = like->type().dtype();
  const int rank = like->type().rank();
  x = builder.Op("Reshape", {x, builder.Ints({0, -1})});
  if (x->type().dtype() != dtype) {
    x = builder.Op("Cast", {x}, {{"to", static_cast<int64_t>(dtype)}});
  }
  x = builder.Op("ReduceSum", {x, builder.Ints({1})}, {{"keepdims", int64_t{1}}});
  std::vector<int64_t> ones(static_cast<size_t>(rank), 1);
  std::vector<int64_t> extents(static_cast<size_t>(rank), 1);
  ones[0] = -1;
  for (int i = 1; i < rank; ++i) extents[static_cast<size_t>(i)] = like->type().dim(i).value();
  if (rank == 1) x = builder.Op("Reshape", {x, builder.Ints({-1})});
  if (rank > 2) x = builder.Op("Reshape", {x, builder.Ints(ones)});
  return builder.Mul(x, builder.Constant(Tensor(dtype, Shape(extents))));
}

}  // namespace

void KeepStage(nn::Network& network, const ir::OpRegistry& registry,
               const std::vector<size_t>& cuts, int stage) {
  ir::Graph& graph = *network.graph;
  const Places places(graph);
  const auto s = static_cast<size_t>(stage);
  const bool is_first = stage == 0;
  const bool is_last = s == cuts.size();
  ir::Value* goes = nullptr;
  if (!is_last) {
    goes = const_cast<ir::Value*>(places.Crossing(cuts[s]));
    while (!graph.outputs().empty()) graph.RemoveOutput(graph.outputs().size() - 1);
    graph.AddOutput(goes, kStageOutput);
    network.loss.clear();
    network.metrics.clear();
  }
  if (!is_first) {
    auto* comes = const_cast<ir::Value*>(places.Crossing(cuts[s - 1]));
    ir::Node* next = graph.nodes().at(cuts[s - 1] + 1);
    ir::Builder builder(graph, registry, next);
    builder.set_layer(comes->producer()->layer());
    ir::Value* row = Placeholder(graph, builder, comes);
    ir::Value* in = builder.Op("ingot.MeshPass", {row}, {{"leg", int64_t{0}}});
    in->set_name(kStageInput);
    graph.ReplaceAllUses(comes, in);
    graph.AddOutput(in, kStageInput);
  }
  passes::EliminateDeadCode(graph);
  std::set<std::string> used;
  const std::vector<ir::Value*> inputs = graph.inputs();
  for (ir::Value* input : inputs) {
    if (input->is_used()) {
      used.insert(input->name());
    } else if (input->role() != ir::Role::kData) {  // a batch is filled in whole
      graph.RemoveInput(input);
    }
  }
  std::erase_if(network.parameters, [&](const nn::ParameterSpec& parameter) {
    return used.count(parameter.name) == 0;
  });
}

}  // namespace ingot::train
