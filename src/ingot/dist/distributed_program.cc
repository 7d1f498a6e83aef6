// Turns the stages of a program into those of one worker.
#include "ingot/dist/distributed_program.h"

#include <algorithm>
#include <utility>

#include "ingot/base/error.h"

namespace ingot::dist {
namespace {

using runtime::Operand;
using runtime::ReduceUnit;
using runtime::Stage;
using runtime::Task;

class Distributor {
 public:
  Distributor(std::shared_ptr<const runtime::StepProgram> base, const DistributedOptions& options,
              std::vector<ExchangePlan>& plans)
      : base_(*base), options_(options), rank_(options.rank), plans_(plans) {
    static_cast<runtime::StepProgram&>(*program_) = *base;
    program_->base = std::move(base);
    program_->stages.clear();
    ranges_ = DealShards(base_.shards(), options.workers);
    own_ = ranges_[static_cast<size_t>(rank_)];
    program_->first_shard = own_.begin;
  }

  std::shared_ptr<const runtime::StepProgram> Run() {
    for (size_t i = 0; i < base_.stages.size(); ++i) {
      if (HasReduction(base_.stages[i])) last_exchange_ = static_cast<int>(i);
    }
    CheckMayBeParted();
    for (size_t i = 0; i < base_.stages.size(); ++i) AddStage(i);
    if (part() == StepPart::kGradients) program_->updates = false;
    INGOT_ASSERT(late_.empty(), "updates were left over");
    return program_;
  }

 private:
  StepPart part() const { return options_.part; }

  void CheckMayBeParted() const {
    const auto exchanges =
        std::count_if(base_.stages.begin(), base_.stages.end(),
                      [this](const Stage& stage) { return HasReduction(stage); });
    if (part() == StepPart::kWhole || exchanges == 1) return;
    throw Error(ErrorCode::kUnsupported,
                "the step has sums over the whole batch in its middle, as those of batch_norm, for "
                "which all workers wait",
                "use layer_norm or group_norm, or another train.sync than async");
  }

  bool IsReduction(const Task& task) const {
    return task.kind == Task::Kind::kTile && base_.units[task.index].kernel != nullptr;
  }
  bool HasReduction(const Stage& stage) const {
    for (const Task& task : stage.tasks) {
      if (IsReduction(task)) return true;
    }
    return false;
  }
  static uint64_t BytesOf(const ReduceUnit& unit) {
    return static_cast<uint64_t>(unit.rows * unit.row_elements) * unit.item_size;
  }
  // Gradients are what the last exchange sums, but for the sums that are shown.
  Codec CodecOfUnit(const ReduceUnit& unit, bool is_last) const {
    if (!is_last || unit.sum >= 0 || unit.dtype != DType::kF32) return Codec::kPlain;
    return CodecFor(options_.codec, BytesOf(unit) / sizeof(float));
  }
  // For messages, and the same in the program of a short batch: of a gradient, its parameter's.
  std::string NameOf(const ReduceUnit& unit, size_t index) const {
    if (!unit.name.empty()) return unit.name;
    const auto is_user = [&](const ReduceUnit& user) {
      return &user == &unit || (unit.shared >= 0 && user.source.space == Operand::Space::kShared &&
                                user.source.at == static_cast<uint64_t>(unit.shared));
    };
    for (const ReduceUnit& user : base_.units) {
      if (!is_user(user)) continue;
      for (const runtime::UpdateInstruction& update : user.updates) {
        for (size_t i = 0; i < update.operands.size(); ++i) {
          const Operand& operand = update.operands[i];
          if (update.is_output[i] != 0 && operand.space == Operand::Space::kState) {
            return base_.states[operand.at].name;
          }
        }
      }
    }
    return "sum " + std::to_string(index);
  }
  bool Updates(const Task& task) const {
    if (task.kind == Task::Kind::kTile) return !base_.units[task.index].updates.empty();
    if (task.kind != Task::Kind::kJoint) return false;
    for (const auto& publication : base_.joints[task.index].publications) {
      if (publication.to.space == Operand::Space::kState) return true;
    }
    return false;
  }

  void AddStage(size_t stage_index) {
    const Stage& stage = base_.stages[stage_index];
    const int index = static_cast<int>(stage_index);
    const bool reduces = HasReduction(stage);
    Stage here;
    std::vector<Task> reductions;
    for (const Task& task : stage.tasks) {
      if (IsLeftOut(task, index)) continue;
      if (task.kind == Task::Kind::kShard) {
        AddShard(task, here);
      } else if (IsReduction(task)) {
        reductions.push_back(task);
      } else if (Updates(task) && index <= last_exchange_) {
        CheckMayWait(task);
        late_.push_back(task);
      } else {
        here.tasks.push_back(task);
        here.updates = here.updates || Updates(task);
      }
    }
    if (!reduces) {
      Push(std::move(here));
      return;
    }
    here.judged_later = true;
    AddExchange(reductions, here, index == last_exchange_);
  }

  bool IsLeftOut(const Task& task, int stage) const {
    switch (part()) {
      case StepPart::kWhole:
        return false;
      case StepPart::kGradients:
        return !IsReduction(task) && (Updates(task) || stage > last_exchange_);
      case StepPart::kUpdates:
        return task.kind == Task::Kind::kShard;
    }
    return false;
  }

  void AddShard(const Task& task, Stage& stage) {
    if (task.begin < own_.begin || task.begin >= own_.end) return;
    program_->parts[task.index].stage = static_cast<uint32_t>(program_->stages.size());
    stage.tasks.push_back(task);
  }

  // What is shared by a joint task that updates must not be waited for by another.
  void CheckMayWait(const Task& task) const {
    if (task.kind != Task::Kind::kJoint) return;
    for (const auto& publication : base_.joints[task.index].publications) {
      if (publication.to.space == Operand::Space::kState) continue;
      throw Error(ErrorCode::kUnsupported,
                  "the step cannot be shared by several processes: a joint task changes state and "
                  "is needed within the step");
    }
  }

  void AddExchange(const std::vector<Task>& reductions, Stage& here, bool is_last) {
    ExchangePlan plan = MakeExchangePlan(ranges_, base_.shards());
    plan.top_k = options_.top_k;
    // The tiles of a unit stand together, but not in order: one segment for each unit.
    std::vector<int64_t> segment_of(base_.units.size(), -1);
    for (const bool plain : {true, false}) {
      for (const Task& task : reductions) {
        const ReduceUnit& unit = base_.units[task.index];
        const Codec codec = CodecOfUnit(unit, is_last);
        if (segment_of[task.index] >= 0 || (codec == Codec::kPlain) != plain) continue;
        segment_of[task.index] = static_cast<int64_t>(
            plan.AddSegment(NameOf(unit, task.index), unit.dtype, BytesOf(unit), codec));
      }
    }
    program_->shared_bytes = plan.Place(program_->shared_bytes, rank_);

    if (part() != StepPart::kUpdates) AddPartials(reductions, plan, segment_of, here);
    Push(std::move(here));
    Stage exchange;
    exchange.tasks.push_back({Task::Kind::kExchange, static_cast<uint32_t>(plans_.size()), 0, 0});
    program_->stages.push_back(std::move(exchange));
    AddResults(reductions, plan, segment_of, is_last);
    plans_.push_back(std::move(plan));
  }

  // The sums of this worker's subtrees: a unit for each, with the tiles of the whole.
  void AddPartials(const std::vector<Task>& reductions, const ExchangePlan& plan,
                   const std::vector<int64_t>& segment_of, Stage& stage) {
    const int first = plan.first_subtree[static_cast<size_t>(rank_)];
    for (int s = 0; s < plan.subtrees_of(rank_); ++s) {
      const ShardRange subtree = plan.subtrees[static_cast<size_t>(first + s)];
      std::vector<int64_t> unit_of(base_.units.size(), -1);
      for (const Task& task : reductions) {
        if (unit_of[task.index] < 0) {
          const auto segment = static_cast<size_t>(segment_of[task.index]);
          ReduceUnit unit = base_.units[task.index];
          unit.updates.clear();
          unit.sum = -1;
          unit.first_shard = subtree.begin;
          unit.shard_count = subtree.size();
          unit.shared = static_cast<int64_t>(plan.partials + static_cast<uint64_t>(s) * plan.bytes +
                                             plan.segments[segment].offset);
          unit_of[task.index] = static_cast<int64_t>(program_->units.size());
          program_->units.push_back(std::move(unit));
        }
        Task own = task;
        own.index = static_cast<uint32_t>(unit_of[task.index]);
        stage.tasks.push_back(own);
      }
    }
  }

  // What is done with the whole sums: at once, but for changes of parameters and state.
  void AddResults(const std::vector<Task>& reductions, ExchangePlan& plan,
                  const std::vector<int64_t>& segment_of, bool is_last) {
    Stage stage;
    std::vector<int64_t> sum_unit(base_.units.size(), -1);
    std::vector<int64_t> update_unit(base_.units.size(), -1);
    for (const Task& task : reductions) {
      const ReduceUnit& whole = base_.units[task.index];
      const auto& segment = plan.segments[static_cast<size_t>(segment_of[task.index])];
      const uint64_t source = plan.reduced + segment.offset;
      if (task.begin == 0 && whole.shared >= 0) {
        plan.copies.push_back({source, static_cast<uint64_t>(whole.shared), segment.bytes});
      }
      if (task.begin == 0 && whole.sum >= 0) {
        ReduceUnit unit = FromShared(whole, source);
        unit.updates.clear();
        Task own = task;
        own.index = AddUnit(std::move(unit));
        stage.tasks.push_back(own);
      }
      if (whole.updates.empty() || part() == StepPart::kGradients) continue;
      if (update_unit[task.index] < 0) {
        ReduceUnit unit = FromShared(whole, source);
        unit.sum = -1;
        update_unit[task.index] = AddUnit(std::move(unit));
      }
      Task own = task;
      own.index = static_cast<uint32_t>(update_unit[task.index]);
      late_.push_back(own);
    }
    if (is_last) {
      stage.updates = !late_.empty();
      stage.tasks.insert(stage.tasks.end(), late_.begin(), late_.end());
      late_.clear();
    }
    Push(std::move(stage));
  }

  static ReduceUnit FromShared(const ReduceUnit& whole, uint64_t source) {
    ReduceUnit unit = whole;
    unit.kernel = nullptr;
    unit.slot_values.clear();
    unit.source = {Operand::Space::kShared, source};
    unit.shared = -1;
    return unit;
  }

  uint32_t AddUnit(ReduceUnit unit) {
    program_->units.push_back(std::move(unit));
    return static_cast<uint32_t>(program_->units.size() - 1);
  }

  void Push(Stage stage) {
    if (!stage.tasks.empty()) program_->stages.push_back(std::move(stage));
  }

  const runtime::StepProgram& base_;
  const DistributedOptions& options_;
  const int rank_;
  std::vector<ExchangePlan>& plans_;
  std::shared_ptr<DistributedProgram> program_ = std::make_shared<DistributedProgram>();
  std::vector<ShardRange> ranges_;
  ShardRange own_;
  int last_exchange_ = -1;
  std::vector<Task> late_;
};

}  // namespace

std::shared_ptr<const runtime::StepProgram> MakeDistributedProgram(
    std::shared_ptr<const runtime::StepProgram> base, const DistributedOptions& options,
    std::vector<ExchangePlan>& plans) {
  return Distributor(std::move(base), options, plans).Run();
}

}  // namespace ingot::dist
