// Rounds of replicas: see local_rounds.h.
#include "ingot/train/local_rounds.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/compiler/compile.h"
#include "ingot/dist/dealing.h"
#include "ingot/runtime/exchange.h"

namespace ingot::train {
namespace {

constexpr const char* kMomentumSuffix = ".outer_momentum";

// Calls f with a null pointer of the element's type.
template <typename F>
void ForType(DType dtype, const F& f) {
  if (dtype == DType::kF64) {
    f(static_cast<double*>(nullptr));
  } else {
    f(static_cast<float*>(nullptr));
  }
}

template <typename T>
void WeightedChange(double weight, const T* value, const T* beginning, int64_t count, T* out) {
  const T w = static_cast<T>(weight);
  for (int64_t i = 0; i < count; ++i) out[i] = w * (value[i] - beginning[i]);
}

template <typename T>
void Weighted(double weight, const T* value, int64_t count, T* out) {
  const T w = static_cast<T>(weight);
  for (int64_t i = 0; i < count; ++i) out[i] = w * value[i];
}

template <typename T>
void AddChange(const T* change, int64_t count, T* value) {
  for (int64_t i = 0; i < count; ++i) value[i] += change[i];
}

template <typename T>
void OuterStep(const SyncOptions& options, const T* change, int64_t count, T* momentum, T* value) {
  const T rate = static_cast<T>(*options.outer_learning_rate);
  const T mu = static_cast<T>(*options.outer_momentum);
  const bool nesterov = *options.nesterov;
  for (int64_t i = 0; i < count; ++i) {
    momentum[i] = mu * momentum[i] - change[i];
    value[i] -= rate * (nesterov ? mu * momentum[i] - change[i] : momentum[i]);
  }
}

}  // namespace

LocalRounds::LocalRounds(const TrainingSetup& setup, runtime::StepEngine& engine)
    : setup_(setup), engine_(engine), sums_(compiler::PlanOf(*setup.programs[0]).sums.size()) {
  for (const nn::ParameterSpec& parameter : setup.network.parameters) {
    if (parameter.kind == nn::ParameterKind::kFrozen) continue;
    const bool trained = parameter.kind == nn::ParameterKind::kTrained;
    AddEntry(parameter.name, trained ? Kind::kTrained : Kind::kStatistic, parameter.shape,
             parameter.dtype);
  }
  for (const nn::StateSpec& state : setup.steps[0].state) {
    // Sums over several steps are empty between rounds; copies follow from the parameters.
    if (state.name.ends_with(kAccumulatedSuffix) || !state.copy_of.empty()) continue;
    AddEntry(state.name, Kind::kState, state.shape, state.dtype);
  }
  Join(0, 1);
}

void LocalRounds::AddEntry(const std::string& name, Kind kind, const Shape& shape, DType dtype) {
  if (dtype != DType::kF32 && dtype != DType::kF64) {
    throw Error(ErrorCode::kUnsupported,
                "'" + name + "' is " + std::string(Name(dtype)) + ", which cannot be averaged",
                "set train.sync to every_step");
  }
  Entry entry;
  entry.name = name;
  entry.kind = kind;
  entry.dtype = dtype;
  entry.shape = shape;
  if (kind == Kind::kTrained && setup_.job.train.is_diloco()) entry.momentum = Tensor(dtype, shape);
  entries_.push_back(std::move(entry));
}

dist::ExchangePlan LocalRounds::Join(int rank, int size) {
  const std::vector<dist::ShardRange> ranges = dist::DealShards(setup_.replicas, size);
  own_ = ranges[static_cast<size_t>(rank)];
  plan_ = dist::MakeExchangePlan(ranges, setup_.replicas);
  const int64_t steps = setup_.RoundEnd(0);
  sums_segment_ = plan_.AddSegment("the sums of the steps", DType::kF32,
                                   static_cast<uint64_t>(steps) * sums_ * sizeof(float));
  plan_.top_k = setup_.job.train.top_k.value_or(plan_.top_k);
  for (const bool plain : {true, false}) {
    for (Entry& entry : entries_) {
      const dist::Codec codec = CodecOfEntry(entry);
      if ((codec == dist::Codec::kPlain) != plain) continue;
      entry.segment = plan_.AddSegment(
          entry.name, entry.dtype,
          static_cast<uint64_t>(entry.shape.size()) * ItemSize(entry.dtype), codec);
    }
  }
  memory_.resize(plan_.Place(0, rank));
  return plan_;
}

// State is averaged, and so must not be thinned out: where changes are, it is rounded.
dist::Codec LocalRounds::CodecOfEntry(const Entry& entry) const {
  const dist::Codec codec = dist::CodecOfName(setup_.job.train.compression);
  const bool plain =
      codec == dist::Codec::kPlain || entry.dtype != DType::kF32 || entry.kind == Kind::kStatistic;
  if (plain) return dist::Codec::kPlain;
  return dist::CodecFor(entry.kind == Kind::kState ? dist::Codec::kBf16 : codec,
                        static_cast<uint64_t>(entry.shape.size()));
}

LocalRounds::Outcome LocalRounds::Run(int64_t first, int64_t end, const RunSteps& run,
                                      dist::GroupExchange* exchange, const OnSums& on_sums) {
  beginning_.Keep(engine_);
  if (round_ != first) finished_.clear();
  round_ = first;
  try {
    for (int replica = own_.begin; replica < own_.end; ++replica) {
      // What was finished before the group changed need not be done again.
      if (Finished(replica)) continue;
      std::vector<std::byte> contribution(plan_.bytes);
      const runtime::StepResult result = RunReplica(replica, first, end, run, contribution);
      if (result.not_finite) return {replica, result};
      finished_[replica] = std::move(contribution);
      RestoreBeginning();
    }
    for (int s = 0, at = 0; s < static_cast<int>(plan_.subtrees.size()); ++s) {
      const dist::ShardRange subtree = plan_.subtrees[static_cast<size_t>(s)];
      if (subtree.begin < own_.begin || subtree.end > own_.end) continue;
      SumTree(subtree, memory_.data() + plan_.partials + static_cast<uint64_t>(at) * plan_.bytes);
      ++at;
    }
    if (exchange != nullptr) {
      exchange->Run(0, first, memory_.data(), false);
    } else {
      std::memcpy(memory_.data() + plan_.reduced, memory_.data() + plan_.partials, plan_.bytes);
    }
  } catch (const runtime::ExchangeBroken&) {
    RestoreBeginning();
    throw;
  }
  Apply();
  finished_.clear();
  const auto* sums = reinterpret_cast<const float*>(memory_.data() + plan_.reduced +
                                                    plan_.segments[sums_segment_].offset);
  for (int64_t step = first; step < end; ++step) {
    on_sums(step, {sums + static_cast<size_t>(step - first) * sums_, sums_});
  }
  return {};
}

// A batch may be smaller than there are replicas: then some of them have nothing to do in its step.
runtime::StepResult LocalRounds::RunReplica(int replica, int64_t first, int64_t end,
                                            const RunSteps& run,
                                            std::vector<std::byte>& contribution) {
  auto* sums = reinterpret_cast<float*>(contribution.data() + plan_.segments[sums_segment_].offset);
  const OnSums keep = [&](int64_t step, std::span<const float> values) {
    std::copy(values.begin(), values.end(), sums + static_cast<size_t>(step - first) * sums_);
  };
  runtime::StepResult result;
  for (int64_t step = first; step < end;) {
    int64_t stop = step;
    while (stop < end && setup_.PartOf(stop, replica).samples > 0) ++stop;
    if (stop > step) {
      result = run(replica, step, stop - step, keep);
      if (result.not_finite) return result;
    }
    step = std::max(stop, step + 1);
  }
  Contribute(WeightOf(replica, first, end), contribution);
  return result;
}

double LocalRounds::WeightOf(int replica, int64_t first, int64_t end) const {
  int64_t own = 0;
  for (int64_t step = first; step < end; ++step) own += setup_.PartOf(step, replica).samples;
  const int64_t all = setup_.batches->SamplesBefore(end) - setup_.batches->SamplesBefore(first);
  return static_cast<double>(own) / static_cast<double>(all);
}

void LocalRounds::Contribute(double weight, std::vector<std::byte>& contribution) const {
  for (const Entry& entry : entries_) {
    const Tensor value = engine_.ReadState(entry.name);
    std::byte* to = contribution.data() + plan_.segments[entry.segment].offset;
    const int64_t count = value.shape().size();
    ForType(value.dtype(), [&]<typename T>(T*) {
      const auto* values = reinterpret_cast<const T*>(value.raw());
      auto* out = reinterpret_cast<T*>(to);
      if (entry.kind == Kind::kState) {
        Weighted(weight, values, count, out);
      } else {
        WeightedChange(weight, values, reinterpret_cast<const T*>(beginning_.of(entry.name).raw()),
                       count, out);
      }
    });
  }
}

// The tree over leaves [0, n) is that over the largest power of two below n, plus the rest.
void LocalRounds::SumTree(dist::ShardRange replicas, std::byte* sum) const {
  if (replicas.size() == 1) {
    const std::vector<std::byte>& contribution = finished_.at(replicas.begin);
    std::memcpy(sum, contribution.data(), contribution.size());
    return;
  }
  int half = 1;
  while (2 * half < replicas.size()) half *= 2;
  std::vector<std::byte> right(plan_.bytes);
  SumTree({replicas.begin, replicas.begin + half}, sum);
  SumTree({replicas.begin + half, replicas.end}, right.data());
  for (const dist::ExchangePlan::Segment& segment : plan_.segments) {
    std::byte* at = sum + segment.offset;
    dist::AddValues(segment.dtype, at, at, right.data() + segment.offset, segment.bytes);
  }
}

void LocalRounds::Apply() {
  const SyncOptions& options = setup_.job.train;
  for (Entry& entry : entries_) {
    Tensor value = engine_.ReadState(entry.name);
    const std::byte* reduced =
        memory_.data() + plan_.reduced + plan_.segments[entry.segment].offset;
    const int64_t count = value.shape().size();
    ForType(value.dtype(), [&]<typename T>(T*) {
      const auto* change = reinterpret_cast<const T*>(reduced);
      auto* values = reinterpret_cast<T*>(value.raw());
      if (entry.kind == Kind::kState) {
        std::memcpy(values, change, value.bytes());
      } else if (entry.momentum.empty()) {
        AddChange(change, count, values);
      } else {
        OuterStep(options, change, count, reinterpret_cast<T*>(entry.momentum.raw()), values);
      }
    });
    engine_.WriteState(entry.name, value);
  }
  DeriveCopies();
}

// The rounded copies of mixed precision.
void LocalRounds::DeriveCopies() {
  for (const nn::StateSpec& state : setup_.steps[0].state) {
    if (state.copy_of.empty()) continue;
    const Tensor rounded = engine_.ReadState(state.copy_of).Cast(state.copy_to);
    engine_.WriteState(state.name, rounded.Cast(state.dtype));
  }
}

std::vector<formats::NamedTensor> LocalRounds::State() const {
  std::vector<formats::NamedTensor> tensors;
  for (const Entry& entry : entries_) {
    if (entry.momentum.empty()) continue;
    tensors.push_back({entry.name + kMomentumSuffix, entry.momentum.Clone()});
  }
  return tensors;
}

void LocalRounds::SetState(std::span<const formats::NamedTensor> tensors) {
  for (Entry& entry : entries_) {
    if (entry.momentum.empty()) continue;
    const std::string name = entry.name + kMomentumSuffix;
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const auto& tensor) { return tensor.name == name; });
    const bool fits = found != tensors.end() && found->tensor.dtype() == entry.momentum.dtype() &&
                      found->tensor.shape() == entry.momentum.shape();
    if (!fits) {
      throw Error(ErrorCode::kInvalidInput,
                  "the checkpoint lacks the outer momentum of '" + entry.name + "'",
                  "it is of a run with another train.sync");
    }
    std::memcpy(entry.momentum.raw(), found->tensor.raw(), entry.momentum.bytes());
  }
}

}  // namespace ingot::train
