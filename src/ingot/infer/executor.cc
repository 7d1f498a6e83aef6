// Plans by input shapes, contexts by run.
#include "ingot/infer/executor.h"

#include <algorithm>
#include <cstring>
#include <list>
#include <map>
#include <mutex>

#include "ingot/base/error.h"
#include "ingot/base/machine.h"
#include "ingot/compiler/batch_split.h"
#include "ingot/compiler/inference_passes.h"
#include "ingot/ops/interpreter.h"
#include "ingot/passes/align_constants.h"
#include "ingot/passes/propagate_shapes.h"
#include "ingot/passes/rewrite.h"
#include "ingot/runtime/thread_team.h"

namespace ingot::infer {
namespace {

// The shapes of a set of inputs, one after the other, each behind its rank.
using ShapeKey = std::vector<int64_t>;

ShapeKey KeyOf(std::span<const Tensor> inputs) {
  ShapeKey key;
  for (const Tensor& input : inputs) {
    key.push_back(input.shape().rank());
    key.insert(key.end(), input.shape().dims().begin(), input.shape().dims().end());
  }
  return key;
}

// KeyOf(inputs) == key, without making it.
bool Matches(std::span<const Tensor> inputs, const ShapeKey& key) {
  size_t at = 0;
  for (const Tensor& input : inputs) {
    const std::vector<int64_t>& dims = input.shape().dims();
    if (key.size() < at + 1 + dims.size() || key[at] != static_cast<int64_t>(dims.size())) {
      return false;
    }
    if (!std::equal(dims.begin(), dims.end(), key.begin() + static_cast<std::ptrdiff_t>(at) + 1)) {
      return false;
    }
    at += 1 + dims.size();
  }
  return at == key.size();
}

size_t ConstantBytes(const ir::Graph& graph) {
  size_t bytes = 0;
  for (const ir::Node* node : graph.nodes()) {
    const Tensor* constant =
        node->outputs().empty() ? nullptr : passes::ConstantOf(node->outputs()[0]);
    if (constant != nullptr) bytes += constant->bytes();
  }
  return bytes;
}

constexpr size_t kMostOnStack = 16;
// What a plan takes beside its arena, roughly: graph, kernels, names.
constexpr size_t kBytesOfPlan = 16 << 10;

}  // namespace

struct Executor::Entry {
  ShapeKey key;
  std::unique_ptr<compiler::InferencePlan> plan;  // null: runs dynamically
  std::string problem;                            // why
  // Or the plan of a part of the batch, which is run so many times.
  std::shared_ptr<Entry> part;
  int64_t parts = 1;
  std::vector<compiler::InferencePlan::OutputType> outputs;
  std::mutex mutex;
  std::vector<std::unique_ptr<compiler::InferencePlan::Context>> idle;

  bool is_planned() const { return plan != nullptr || part != nullptr; }
  std::vector<Tensor> MakeOutputs() const {
    std::vector<Tensor> tensors;
    tensors.reserve(outputs.size());
    for (const auto& output : outputs) tensors.emplace_back(output.dtype, output.shape);
    return tensors;
  }
};

struct Executor::State {
  explicit State(size_t threads) : team(threads) {}
  runtime::ThreadTeam team;
  std::mutex mutex;  // of entries; held while a plan is made, so that it is made once
  std::list<std::shared_ptr<Entry>> entries;  // last used first
  std::unique_ptr<ir::Graph> dynamic;         // what runs without a plan; null until it is needed
};

// The threads of a team, as long as this lives, where they are wanted and free; else this one
// alone.
class Executor::TeamHold {
 public:
  TeamHold(runtime::ThreadTeam& team, bool wanted)
      : team_(team), is_held_(wanted && team.TryAcquire()) {}
  ~TeamHold() {
    if (is_held_) team_.Release();
  }
  TeamHold(const TeamHold&) = delete;
  TeamHold& operator=(const TeamHold&) = delete;

  runtime::Team& team() { return is_held_ ? static_cast<runtime::Team&>(team_) : alone_; }

 private:
  runtime::ThreadTeam& team_;
  const bool is_held_;
  runtime::NoTeam alone_;
};

class Executor::Lease {
 public:
  Lease(Entry& entry, State& state, bool alone = false) : entry_(entry), hold_(state.team, !alone) {
    {
      const std::lock_guard<std::mutex> lock(entry.mutex);
      if (!entry.idle.empty()) {
        context_ = std::move(entry.idle.back());
        entry.idle.pop_back();
      }
    }
    if (context_ == nullptr) {
      context_ =
          std::make_unique<compiler::InferencePlan::Context>(*entry.plan, state.team.threads());
    }
  }
  ~Lease() {
    const std::lock_guard<std::mutex> lock(entry_.mutex);
    entry_.idle.push_back(std::move(context_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  // `part` of `parts` along the first axis of all inputs and outputs.
  void Run(std::span<const Tensor> inputs, std::span<Tensor> outputs,
           std::span<int64_t> nanoseconds = {}, size_t part = 0, size_t parts = 1) {
    const void* in[kMostOnStack];
    void* out[kMostOnStack];
    std::vector<const void*> more_in;
    std::vector<void*> more_out;
    const void** from = in;
    void** to = out;
    if (inputs.size() > kMostOnStack) {
      more_in.resize(inputs.size());
      from = more_in.data();
    }
    if (outputs.size() > kMostOnStack) {
      more_out.resize(outputs.size());
      to = more_out.data();
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      from[i] = inputs[i].raw() + inputs[i].bytes() / parts * part;
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      to[i] = outputs[i].raw() + outputs[i].bytes() / parts * part;
    }
    entry_.plan->Run(*context_, {from, inputs.size()}, {to, outputs.size()}, hold_.team(),
                     nanoseconds);
  }

 private:
  Entry& entry_;
  TeamHold hold_;
  std::unique_ptr<compiler::InferencePlan::Context> context_;
};

Executor::Executor(std::unique_ptr<ir::Graph> graph, const ir::OpRegistry& registry,
                   const ExecutorOptions& options)
    : graph_(std::move(graph)),
      registry_(registry),
      options_(options),
      weights_(options.store == nullptr ? std::make_shared<cpu::PackedWeights>()
                                        : std::make_shared<cpu::PackedWeights>(options.store)) {
  for (const auto& file : options.mapped_files) weights_->AddMapped(file);
  passes::AlignConstants(*graph_, passes::AlignFor::kPacking);
  weights_->Expect(ConstantBytes(*graph_));
  const int threads = options.threads > 0 ? options.threads : AvailableCpus();
  state_ = std::make_unique<State>(static_cast<size_t>(threads));
  passes::PassRunner passes(options_.passes);
  compiler::PrepareForInference(*graph_, registry_, passes);
}

Executor::~Executor() = default;

int Executor::threads() const {
  return static_cast<int>(state_->team.threads());
}

void Executor::CheckInputs(std::span<const Tensor> inputs) const {
  if (options_.check) options_.check(inputs);
  const auto wanted = [this] {
    std::string text = "the model takes";
    for (const ir::Value* input : graph_->inputs()) {
      text += (input == graph_->inputs().front() ? " " : ", ") + ("'" + input->name() + "' ") +
              input->type().ToString();
    }
    return text;
  };
  if (inputs.size() != graph_->inputs().size()) {
    throw Error(ErrorCode::kInvalidInput,
                std::to_string(inputs.size()) + " inputs are given, expected " +
                    std::to_string(graph_->inputs().size()),
                wanted());
  }
  std::map<std::string, int64_t> bound;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Type& type = graph_->inputs()[i]->type();
    const Tensor& given = inputs[i];
    bool fits = type.is_tensor() && type.dtype() == given.dtype() &&
                (!type.has_rank() || type.rank() == given.shape().rank());
    for (int axis = 0; fits && type.has_rank() && axis < type.rank(); ++axis) {
      const ir::Dimension& dim = type.dim(axis);
      const int64_t extent = given.shape()[axis];
      if (dim.is_static()) fits = dim.value() == extent;
      if (dim.is_symbolic()) fits = bound.emplace(dim.symbol(), extent).first->second == extent;
    }
    if (fits) continue;
    std::string message = "input '" + graph_->inputs()[i]->name() + "' is " +
                          (given.empty() ? "not given" : given.Describe()) + ", expected " +
                          type.ToString();
    for (const auto& [symbol, value] : bound) {
      message += " (" + symbol + " = " + std::to_string(value) + ")";
    }
    throw Error(ErrorCode::kInvalidInput, message, wanted());
  }
}

std::unique_ptr<ir::Graph> Executor::GraphFor(std::span<const Tensor> inputs) const {
  std::unique_ptr<ir::Graph> graph = graph_->Clone();
  for (size_t i = 0; i < inputs.size(); ++i) {
    graph->inputs()[i]->set_type(ir::Type::Tensor(inputs[i].dtype(), inputs[i].shape()));
  }
  return graph;
}

std::shared_ptr<Executor::Entry> Executor::MakeEntry(std::span<const Tensor> inputs) const {
  auto entry = std::make_shared<Entry>();
  entry->key = KeyOf(inputs);
  std::unique_ptr<ir::Graph> graph = GraphFor(inputs);
  if (SplitBatch(inputs, *graph, *entry)) return entry;
  passes::PassRunner passes(options_.passes);
  weights_->Defer();
  try {
    entry->plan =
        std::make_unique<compiler::InferencePlan>(std::move(graph), registry_, passes, *weights_);
  } catch (const Error& error) {
    // What cannot be planned may still run; where it cannot, that says why better.
    if (error.code() == ErrorCode::kOutOfMemory) throw;
    entry->problem = error.message();
    if (state_->dynamic == nullptr) {
      state_->dynamic = graph_->Clone();
      passes::AlignConstants(*state_->dynamic, passes::AlignFor::kEverything);
    }
    return entry;
  }
  weights_->PackAll(TeamHold(state_->team, true).team());
  entry->outputs = entry->plan->outputs();
  return entry;
}

namespace {

// Throws where memory of the caller does not fit what is to be written there.
void RequireOutput(const std::string& name, const Tensor& given, DType dtype, const Shape& shape) {
  if (given.dtype() == dtype && given.shape() == shape) return;
  throw Error(ErrorCode::kInvalidInput, "output '" + name + "' is given as " +
                                            (given.empty() ? "nothing" : given.Describe()) +
                                            ", expected " +
                                            ir::Type::Tensor(dtype, shape).ToString());
}

}  // namespace

void CopyOutputs(std::span<const std::string> names, std::span<const Tensor> results,
                 std::span<Tensor> outputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    RequireOutput(names[i], outputs[i], results[i].dtype(), results[i].shape());
    if (results[i].dtype() == DType::kString) {
      throw Error(ErrorCode::kUnsupported,
                  "output '" + names[i] + "' has strings, which are not written into other memory");
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (results[i].bytes() == 0) continue;
    std::memcpy(outputs[i].raw(), results[i].raw(), results[i].bytes());
  }
}

// `graph` is of the whole batch; an entry for a part that has a plan becomes the entry's.
bool Executor::SplitBatch(std::span<const Tensor> inputs, const ir::Graph& graph,
                          Entry& entry) const {
  if (inputs.empty()) return false;
  const auto first = [](const Shape& shape) { return shape.rank() == 0 ? 0 : shape[0]; };
  const int64_t batch = first(inputs[0].shape());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Type& type = graph_->inputs()[i]->type();
    if (batch < 2 || first(inputs[i].shape()) != batch) return false;
    if (!type.has_rank() || type.dim(0).is_static()) return false;
  }
  // Extents that must be equal stay so only where all of them are of the first axis.
  for (const ir::Value* input : graph_->inputs()) {
    for (int axis = 1; axis < input->type().rank(); ++axis) {
      const ir::Dimension& dim = input->type().dim(axis);
      for (const ir::Value* other : graph_->inputs()) {
        const ir::Dimension& samples = other->type().dim(0);
        if (dim.is_symbolic() && samples.is_symbolic() && dim.symbol() == samples.symbol()) {
          return false;
        }
      }
    }
  }
  const std::unique_ptr<ir::Graph> whole = graph.Clone();
  passes::PassRunner passes(options_.passes);
  const auto propagate = [&](ir::Graph& of) {
    passes.Run("propagate_shapes", of,
               [&](ir::Graph& g) { passes::PropagateShapes(g, registry_); });
  };
  propagate(*whole);
  const int64_t samples = compiler::SamplesAtOnce(*whole, batch);
  if (samples >= batch) return false;
  std::vector<Tensor> parts;
  for (const Tensor& input : inputs) {
    std::vector<int64_t> dims = input.shape().dims();
    dims[0] = samples;
    parts.emplace_back(input.dtype(), Shape(dims));
  }
  // A constant may name the extent of the whole batch: of a part it makes something else.
  const std::unique_ptr<ir::Graph> some = GraphFor(parts);
  try {
    propagate(*some);
  } catch (const Error&) {
    return false;
  }
  if (!compiler::IsBySample(*some, samples)) return false;
  std::shared_ptr<Entry> part = FindLocked(parts);
  if (part->plan == nullptr) return false;
  for (auto output : part->outputs) {
    std::vector<int64_t> dims = output.shape.dims();
    if (dims.empty() || dims[0] != samples) return false;
    dims[0] = batch;
    output.shape = Shape(dims);
    entry.outputs.push_back(std::move(output));
  }
  entry.part = std::move(part);
  entry.parts = batch / samples;
  return true;
}

std::shared_ptr<Executor::Entry> Executor::Find(std::span<const Tensor> inputs) const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return FindLocked(inputs);
}

std::shared_ptr<Executor::Entry> Executor::FindLocked(std::span<const Tensor> inputs) const {
  auto& entries = state_->entries;
  for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
    if (!Matches(inputs, (*entry)->key)) continue;
    // The shapes are known to be right; the types may still be others.
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].dtype() != graph_->inputs()[i]->type().dtype()) CheckInputs(inputs);
    }
    if (entry != entries.begin()) entries.splice(entries.begin(), entries, entry);
    return entries.front();
  }
  CheckInputs(inputs);
  std::shared_ptr<Entry> made = MakeEntry(inputs);
  entries.push_front(std::move(made));
  ForgetOldPlans();
  return entries.front();
}

// Those not used for longest.
void Executor::ForgetOldPlans() const {
  auto& entries = state_->entries;
  const size_t always = std::max<size_t>(options_.most_plans, 1);
  size_t bytes = 0, count = 0;
  for (auto entry = entries.begin(); entry != entries.end(); ++entry, ++count) {
    bytes += kBytesOfPlan + ((*entry)->plan == nullptr ? 0 : (*entry)->plan->arena_bytes());
    if (count < always) continue;
    if (count >= kMostSmallPlans || bytes > options_.small_plans_bytes) {
      entries.erase(entry, entries.end());
      return;
    }
  }
}

std::vector<Tensor> Executor::Run(std::span<const Tensor> inputs, bool alone) const {
  const std::shared_ptr<Entry> entry = Find(inputs);
  if (!entry->is_planned()) return ops::InterpretInOrder(*state_->dynamic, inputs);
  std::vector<Tensor> outputs = entry->MakeOutputs();
  RunPlanned(*entry, inputs, outputs, alone);
  return outputs;
}

void Executor::RunPlanned(Entry& entry, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                          bool alone) const {
  if (entry.part == nullptr) {
    Lease(entry, *state_, alone).Run(inputs, outputs);
    return;
  }
  const auto parts = static_cast<size_t>(entry.parts);
  const auto run = [&](size_t part, size_t) {
    Lease(*entry.part, *state_, true).Run(inputs, outputs, {}, part, parts);
  };
  TeamHold(state_->team, !alone).team().ForEach(parts, run);
}

void Executor::Run(std::span<const Tensor> inputs, std::span<Tensor> outputs) const {
  const std::shared_ptr<Entry> entry = Find(inputs);
  if (outputs.size() != graph_->outputs().size()) {
    throw Error(ErrorCode::kInvalidInput, std::to_string(outputs.size()) +
                                              " outputs are given, expected " +
                                              std::to_string(graph_->outputs().size()));
  }
  if (!entry->is_planned()) {
    CopyOutputs(graph_->output_names(), ops::InterpretInOrder(*state_->dynamic, inputs), outputs);
    return;
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto& wanted = entry->outputs[i];
    RequireOutput(graph_->output_names()[i], outputs[i], wanted.dtype, wanted.shape);
  }
  RunPlanned(*entry, inputs, outputs, false);
}

std::vector<KernelTime> Executor::Profile(std::span<const Tensor> inputs, int count) const {
  const std::shared_ptr<Entry> entry = Find(inputs);
  if (!entry->is_planned()) return {};
  std::vector<Tensor> outputs = entry->MakeOutputs();
  Entry& planned = entry->part == nullptr ? *entry : *entry->part;
  const auto parts = static_cast<size_t>(entry->parts);
  std::vector<int64_t> nanoseconds(planned.plan->kernels().size());
  Lease lease(planned, *state_, parts > 1);
  for (int i = 0; i < count; ++i) {
    for (size_t part = 0; part < parts; ++part) {
      lease.Run(inputs, outputs, nanoseconds, part, parts);
    }
  }
  std::vector<KernelTime> times;
  for (size_t i = 0; i < nanoseconds.size(); ++i) {
    times.push_back({planned.plan->kernels()[i], nanoseconds[i]});
    times.back().kernel.flops *= static_cast<double>(parts);
  }
  return times;
}

bool Executor::IsPlanned(std::span<const Tensor> inputs, std::string* problem) const {
  const std::shared_ptr<Entry> entry = Find(inputs);
  if (problem != nullptr) *problem = entry->problem;
  return entry->is_planned();
}

size_t Executor::arena_bytes(std::span<const Tensor> inputs) const {
  const std::shared_ptr<Entry> entry = Find(inputs);
  if (entry->part != nullptr) return entry->part->plan->arena_bytes() * state_->team.threads();
  return entry->plan == nullptr ? 0 : entry->plan->arena_bytes();
}

}  // namespace ingot::infer
