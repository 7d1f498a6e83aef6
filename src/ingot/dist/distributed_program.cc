// Turns the stages of a program into those of one worker. Over 500 lines, since what a stage
// becomes for a group, a mesh and sharded updates is one walk over the stages.
#include "ingot/dist/distributed_program.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/dist/agreement.h"
#include "ingot/dist/late_turns.h"
#include "ingot/dist/micro_batches.h"
#include "ingot/dist/stage_reading.h"
#include "ingot/dist/sum_segments.h"

namespace ingot::dist {
namespace {

using runtime::Operand;
using runtime::ReduceUnit;
using runtime::Stage;
using runtime::Task;

class Distributor {
 public:
  Distributor(std::shared_ptr<const runtime::StepProgram> base, const DistributedOptions& options,
              ExchangePlans& plans)
      : base_(*base),
        options_(options),
        mesh_(options.mesh),
        ownership_(options.ownership),
        rank_(options.rank),
        plans_(plans.exchanges),
        transfers_(plans.transfers),
        gathers_(plans.gathers) {
    static_cast<runtime::StepProgram&>(*program_) = *base;
    program_->base = std::move(base);
    program_->stages.clear();
    ranges_ = DealShards(base_.shards(), options.workers);
    own_ = ranges_[static_cast<size_t>(rank_)];
    program_->first_shard = own_.begin;
  }

  std::shared_ptr<const runtime::StepProgram> Run() {
    for (size_t i = 0; i < base_.stages.size(); ++i) {
      const bool meets =
          HasReduction(base_, base_.stages[i]) || MeshTaskOf(base_.stages[i]) != nullptr;
      if (meets) last_exchange_ = static_cast<int>(i);
    }
    CheckMayBeParted();
    if (ownership_ != nullptr) HoldParts();
    AddBuckets();
    if (mesh_ != nullptr) agreement_.emplace(*mesh_, *program_);
    if (mesh_ != nullptr && mesh_->shape.pipeline > 1) AddPipeline();
    for (size_t i = 0; i < base_.stages.size(); ++i) AddStage(i);
    if (ownership_ != nullptr) AddGathering();
    if (part() == StepPart::kGradients) program_->updates = false;
    INGOT_ASSERT(late_.empty(), "updates were left over");
    NoteExchanges();
    return program_;
  }

 private:
  void NoteExchanges() {
    for (const Stage& stage : program_->stages) {
      for (const Task& task : stage.tasks) {
        if (task.kind == Task::Kind::kExchange) program_->exchanges.push_back(task.index);
      }
    }
  }

  StepPart part() const { return options_.part; }

  void CheckMayBeParted() const {
    const auto exchanges =
        std::count_if(base_.stages.begin(), base_.stages.end(),
                      [this](const Stage& stage) { return HasReduction(base_, stage); });
    if (part() == StepPart::kWhole || exchanges == 1) return;
    throw Error(ErrorCode::kUnsupported,
                "the step has sums over the whole batch in its middle, as those of batch_norm, for "
                "which all workers wait",
                "use layer_norm or group_norm, or another train.sync than async");
  }

  // Gradients are what the last exchange sums, but for the sums that are shown.
  Codec CodecOfUnit(const ReduceUnit& unit, bool is_last) const {
    if (!is_last || unit.sum >= 0 || unit.dtype != DType::kF32) return Codec::kPlain;
    return CodecFor(options_.codec, BytesOfSum(unit) / sizeof(float));
  }
  void AddStage(size_t stage_index) {
    const Stage& stage = base_.stages[stage_index];
    const int index = static_cast<int>(stage_index);
    const bool reduces = HasReduction(base_, stage);
    Stage here;
    std::vector<Task> reductions;
    for (const Task& task : stage.tasks) {
      if (IsLeftOut(task, index)) continue;
      const bool is_piped = stage_index < piped_;
      CheckNeedsNothingLate(task);
      if (task.kind == Task::Kind::kShard) {
        if (!is_piped) AddShard(task, here);
      } else if (task.kind == Task::Kind::kMesh) {
        const std::vector<runtime::MeshValue>& values = base_.meshes[task.index];
        AddTransfer(is_piped ? RowsOf(values, false) : values, own_, TransferHalf::kFirst, here);
      } else if (IsReduction(base_, task)) {
        if (mesh_ == nullptr || options_.workers > 1) {
          reductions.push_back(task);
        } else {
          ReduceAlone(task, here);
        }
      } else if (index <= last_exchange_ && (Updates(*program_, task) || late_.TurnOf(task) > 0)) {
        AddLate(task);
      } else {
        AddTask(task, here.tasks);
      }
    }
    here.updates = std::any_of(here.tasks.begin(), here.tasks.end(),
                               [this](const Task& task) { return Updates(*program_, task); });
    // What one worker finds it tells the others with the next exchange, before anybody ends the
    // step: in front of the last one, or when the parts of the parameters are gathered.
    const bool gathers = ownership_ != nullptr && here.updates;
    here.judged_later = gathers || index < last_exchange_;
    if (!reduces && (mesh_ == nullptr || index > last_exchange_)) {
      Push(std::move(here));
      return;
    }
    here.judged_later = true;
    if (!reductions.empty()) {
      AddExchange(stage_index, reductions, here, index == last_exchange_);
    } else {
      Push(std::move(here));
    }
    if (index == last_exchange_ && mesh_ != nullptr) AddAgreement();
  }

  bool IsLeftOut(const Task& task, int stage) const {
    switch (part()) {
      case StepPart::kWhole:
        return false;
      case StepPart::kGradients:
        return !IsReduction(base_, task) && (Updates(*program_, task) || stage > last_exchange_);
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

  // Of what one worker does for all, the part that is this one's.
  void AddTask(const Task& task, std::vector<Task>& to) {
    const UpdateGroup* group = GroupOf(task);
    if (group == nullptr) {
      to.push_back(task);
    } else if (task.kind == Task::Kind::kTile) {
      const ReduceUnit& unit = base_.units[task.index];
      AddOwnPart(task, *group, unit, unit.source.at, to);
    } else if (OwnOf(*group).size() > 0) {
      to.push_back(task);
    }
  }

  // The group that alone needs a task; null: it is done by all.
  const UpdateGroup* GroupOf(const Task& task) const {
    if (ownership_ == nullptr) return nullptr;
    int group = -1;
    if (task.kind == Task::Kind::kTile) group = ownership_->group_of_unit[task.index];
    if (task.kind == Task::Kind::kJoint) group = ownership_->group_of_joint[task.index];
    return group < 0 ? nullptr : &ownership_->groups[static_cast<size_t>(group)];
  }
  ElementRange OwnOf(const UpdateGroup& group) const {
    return group.own[static_cast<size_t>(rank_)];
  }

  // Of a tile of an update that takes the whole gradient at `source`, what this worker owns.
  void AddOwnPart(const Task& task, const UpdateGroup& group, const ReduceUnit& whole,
                  uint64_t source, std::vector<Task>& to) {
    const ElementRange own = OwnOf(group);
    const int64_t begin = std::max(task.begin * whole.row_elements, own.begin);
    const int64_t end = std::min(task.end * whole.row_elements, own.end);
    if (begin >= end) return;
    const auto [known, added] = own_unit_.emplace(task.index, 0);
    if (added) {
      ReduceUnit unit =
          FromShared(whole, source + static_cast<uint64_t>(own.begin) * whole.item_size);
      unit.sum = -1;
      unit.first = own.begin;
      unit.rows = own.size();
      unit.row_elements = 1;
      known->second = AddUnit(std::move(unit));
    }
    to.push_back({Task::Kind::kTile, known->second, begin - own.begin, end - own.begin});
  }

  // Of state that only updates read, each worker has its part.
  void HoldParts() {
    for (size_t i = 0; i < base_.states.size(); ++i) {
      program_->states[i] = PartOfState(base_, *ownership_, i, rank_);
    }
  }

  // What this worker has updated goes to all others, and theirs comes.
  void AddGathering() {
    GatherPlan plan = MakeGatherPlan(base_, *ownership_, options_.workers);
    program_->shared_bytes = plan.flags.Place(program_->shared_bytes, rank_);
    Stage stage;
    stage.tasks.push_back({Task::Kind::kGather, static_cast<uint32_t>(gathers_.size()), 0, 0});
    gathers_.push_back(std::move(plan));
    Push(std::move(stage));
  }

  // What changes something waits for the last exchange, and so does what needs a value of that: in
  // the turn behind it.
  void AddLate(const Task& task) {
    const size_t turn = late_.TurnOf(task);
    AddTask(task, late_.At(turn));
    late_.NoteLate(task, turn);
  }
  void CheckNeedsNothingLate(const Task& task) const {
    if (!late_.IsHeldUp(task)) return;
    throw Error(ErrorCode::kUnsupported,
                "the step cannot be shared by several processes: a joint task changes state, and "
                "sums over the batch are made of what it computes");
  }

  // What is late, behind the last exchange: the first turn beside the tasks of `stage`.
  void PushWithLate(Stage stage) {
    late_.At(0);
    for (const std::vector<Task>& turn : late_.Take()) {
      stage.tasks.insert(stage.tasks.end(), turn.begin(), turn.end());
      stage.updates = std::any_of(turn.begin(), turn.end(),
                                  [this](const Task& task) { return Updates(*program_, task); });
      stage.judged_later = ownership_ != nullptr && stage.updates;
      Push(std::exchange(stage, {}));
    }
  }

  // Plans for the buckets, whose sums may come together over several stages.
  void AddBuckets() {
    if (options_.buckets == nullptr || options_.codec != Codec::kPlain) return;
    INGOT_ASSERT(mesh_ == nullptr && part() == StepPart::kWhole, "buckets are of whole steps");
    buckets_.resize(options_.buckets->count());
    for (const Stage& stage : base_.stages) {
      for (const Task& task : stage.tasks) {
        if (BucketOf(task) >= 0) BucketAt(BucketOf(task)).reductions.push_back(task);
      }
    }
    for (Bucket& bucket : buckets_) {
      ExchangePlan plan = MakePlan(bucket.reductions, false, bucket.segment_of);
      plan.in_background = true;
      bucket.plan = plans_.size();
      plans_.push_back(std::move(plan));
    }
  }
  int BucketOf(const Task& task) const {
    return buckets_.empty() || !IsReduction(base_, task) ? -1
                                                         : options_.buckets->of_unit[task.index];
  }

  void AddExchange(size_t stage_index, const std::vector<Task>& all, Stage& here, bool is_last) {
    std::vector<Task> reductions;
    std::vector<std::vector<Task>> parts(buckets_.size());
    for (const Task& task : all) {
      const int bucket = BucketOf(task);
      (bucket < 0 ? reductions : parts[static_cast<size_t>(bucket)]).push_back(task);
    }
    // A bucket that is complete goes out beside the sums of the next one.
    Stage stage = std::move(here);
    for (size_t b = 0; b < buckets_.size(); ++b) {
      if (parts[b].empty()) continue;
      const Bucket& bucket = buckets_[b];
      AddPartials(parts[b], plans_[bucket.plan], bucket.segment_of, stage);
      if (options_.buckets->stage[b] != stage_index) continue;
      Push(std::move(stage));
      stage = Stage();
      stage.judged_later = true;
      stage.tasks.push_back({Task::Kind::kExchange, static_cast<uint32_t>(bucket.plan), 0, 0});
    }
    if (reductions.empty() && !is_last) {
      Push(std::move(stage));
      return;
    }
    std::vector<int64_t> segment_of;
    ExchangePlan plan = MakePlan(reductions, is_last, segment_of);
    if (part() != StepPart::kUpdates) AddPartials(reductions, plan, segment_of, stage);
    Push(std::move(stage));
    plan.ends_background = is_last && !buckets_.empty();
    Stage exchange;
    exchange.tasks.push_back({Task::Kind::kExchange, static_cast<uint32_t>(plans_.size()), 0, 0});
    program_->stages.push_back(std::move(exchange));
    Stage results;
    for (const Bucket& bucket : buckets_) {
      if (is_last) AddResults(bucket.reductions, plans_[bucket.plan], bucket.segment_of, results);
    }
    AddResults(reductions, plan, segment_of, results);
    plans_.push_back(std::move(plan));
    FinishResults(std::move(results), is_last);
  }

  // A placed plan of the sums of these reductions.
  ExchangePlan MakePlan(const std::vector<Task>& reductions, bool is_last,
                        std::vector<int64_t>& segment_of) {
    ExchangePlan plan = MakeExchangePlan(ranges_, base_.shards());
    if (mesh_ != nullptr) {
      plan.peers = mesh_->shape.data_group(mesh_->place);
      plan.own = mesh_->place.data;
      plan.channel = Channel::kData;
    }
    plan.top_k = options_.top_k;
    // The tiles of a unit stand together, but not in order: one segment for each unit.
    segment_of.assign(base_.units.size(), -1);
    for (const bool plain : {true, false}) {
      for (const Task& task : reductions) {
        const ReduceUnit& unit = base_.units[task.index];
        const Codec codec = CodecOfUnit(unit, is_last);
        if (segment_of[task.index] >= 0 || (codec == Codec::kPlain) != plain) continue;
        if (GroupOf(task) != nullptr) continue;
        segment_of[task.index] = static_cast<int64_t>(
            plan.AddSegment(NameOfSum(base_, task.index), unit.dtype, BytesOfSum(unit), codec));
      }
    }
    if (ownership_ != nullptr) {
      AddOwnedSegments(base_, *ownership_, reductions, options_.workers, plan, segment_of);
    }
    program_->shared_bytes = plan.Place(program_->shared_bytes, rank_);
    return plan;
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
                  const std::vector<int64_t>& segment_of, Stage& stage) {
    std::vector<int64_t> update_unit(base_.units.size(), -1);
    for (const Task& task : reductions) {
      const ReduceUnit& whole = base_.units[task.index];
      const auto& segment = plan.segments[static_cast<size_t>(segment_of[task.index])];
      const uint64_t source = plan.reduced + segment.offset;
      const UpdateGroup* group = GroupOf(task);
      const bool is_here = group == nullptr || OwnOf(*group).size() > 0;
      if (task.begin == 0 && whole.shared >= 0 && is_here) {
        plan.copies.push_back({source, static_cast<uint64_t>(whole.shared), segment.bytes});
      }
      if (mesh_ != nullptr && whole.sum >= 0) {
        if (task.begin == 0 && agreement_->is_said_here()) {
          plan.copies.push_back({source, agreement_->OwnSum(whole), BytesOfSum(whole)});
        }
      } else if (task.begin == 0 && whole.sum >= 0) {
        ReduceUnit unit = FromShared(whole, source);
        unit.updates.clear();
        Task own = task;
        own.index = AddUnit(std::move(unit));
        stage.tasks.push_back(own);
      }
      if (whole.updates.empty() || part() == StepPart::kGradients) continue;
      if (group != nullptr) {
        AddOwnPart(task, *group, whole, source, late_.At(late_.TurnOf(task)));
        continue;
      }
      if (update_unit[task.index] < 0) {
        ReduceUnit unit = FromShared(whole, source);
        unit.sum = -1;
        update_unit[task.index] = AddUnit(std::move(unit));
      }
      Task own = task;
      own.index = static_cast<uint32_t>(update_unit[task.index]);
      late_.At(late_.TurnOf(task)).push_back(own);
    }
  }

  void FinishResults(Stage stage, bool is_last) {
    if (mesh_ == nullptr && is_last) return PushWithLate(std::move(stage));
    if (mesh_ != nullptr) stage.judged_later = true;
    Push(std::move(stage));
  }

  void AddTransfer(const std::vector<runtime::MeshValue>& values, ShardRange shards,
                   TransferHalf half, Stage& stage) {
    TransferPlan plan = MakeTransferPlan(base_, values, shards, mesh_->shape, mesh_->place, half);
    if (plan.actions.empty()) return;
    stage.tasks.push_back({Task::Kind::kTransfer, static_cast<uint32_t>(transfers_.size()), 0, 0});
    transfers_.push_back(std::move(plan));
  }

  // A reduction over shards that are all this worker's: at once, but for changes and for sums.
  void ReduceAlone(const Task& task, Stage& here) {
    const ReduceUnit& whole = base_.units[task.index];
    if (whole.sum >= 0) {
      if (!agreement_->is_said_here()) return;
      INGOT_ASSERT(whole.shared < 0 && whole.updates.empty(), "a sum that is used in the step");
      ReduceUnit unit = whole;
      unit.sum = -1;
      unit.shared = static_cast<int64_t>(agreement_->OwnSum(whole));
      Task own = task;
      own.index = AddUnit(std::move(unit));
      here.tasks.push_back(own);
    } else if (whole.updates.empty()) {
      here.tasks.push_back(task);
    } else {
      INGOT_ASSERT(whole.shared < 0, "a gradient is updated with and shared");
      late_.At(late_.TurnOf(task)).push_back(task);
    }
  }

  void AddAgreement() {
    Stage exchange;
    exchange.tasks.push_back({Task::Kind::kExchange, static_cast<uint32_t>(plans_.size()), 0, 0});
    Push(std::move(exchange));
    Stage stage;
    for (ReduceUnit& unit : agreement_->Units()) {
      stage.tasks.push_back({Task::Kind::kTile, AddUnit(std::move(unit)), 0, 1});
    }
    PushWithLate(std::move(stage));
    plans_.push_back(agreement_->plan());
  }

  // The stages in front of the first reduction, once for each micro-batch. What else is in these
  // stages comes behind them all.
  void AddPipeline() {
    CheckNoSumsInTheMiddle(base_);
    size_t end = 0;
    for (size_t i = 0; i < base_.stages.size(); ++i) {
      if (HasRows(base_, base_.stages[i])) end = i + 1;
    }
    size_t turn = end;
    for (size_t i = 0; i < end; ++i) {
      const Task* task = MeshTaskOf(base_.stages[i]);
      if (task == nullptr) continue;
      for (const runtime::MeshValue& value : base_.meshes[task->index]) {
        if (value.what == runtime::MeshValue::What::kTurns) turn = i;
      }
    }
    for (auto& part : program_->parts) {
      part.places.resize(static_cast<size_t>(base_.shards()));
    }
    const auto stages = DealShards(own_.size(), std::min(mesh_->micro_batches, own_.size()));
    const auto micro = [&](int m) {
      const ShardRange range = stages[static_cast<size_t>(m)];
      return ShardRange{own_.begin + range.begin, own_.begin + range.end};
    };
    const int behind = mesh_->shape.pipeline - 1 - mesh_->place.pipeline;
    for (const MicroBatchTurn& at :
         OneForwardOneBackward(static_cast<int>(stages.size()), behind)) {
      if (!at.is_backward) AddMicroBatch(micro(at.micro_batch), 0, turn, turn < end);
      if (at.is_backward && turn < end) AddMicroBatchBack(micro(at.micro_batch), turn, end);
    }
    piped_ = end;
  }

  // Forward: stages [begin, end), and what goes on to the next stage of the pipeline.
  void AddMicroBatch(ShardRange shards, size_t begin, size_t end, bool turns) {
    for (size_t i = begin; i < end; ++i) AddPart(shards, base_.stages[i]);
    if (!turns) return;
    Stage stage;
    AddTransfer(base_.meshes[MeshTaskOf(base_.stages[end])->index], shards, TransferHalf::kFirst,
                stage);
    PushJudgedLater(std::move(stage));
  }

  // Backward: what comes back, and the stages behind it.
  void AddMicroBatchBack(ShardRange shards, size_t turn, size_t end) {
    Stage stage;
    AddTransfer(base_.meshes[MeshTaskOf(base_.stages[turn])->index], shards, TransferHalf::kSecond,
                stage);
    PushJudgedLater(std::move(stage));
    for (size_t i = turn + 1; i < end; ++i) AddPart(shards, base_.stages[i]);
  }

  void AddPart(ShardRange shards, const Stage& from) {
    Stage stage;
    stage.shares_slots = true;
    const auto index = static_cast<uint32_t>(program_->stages.size());
    for (const Task& task : from.tasks) {
      if (task.kind == Task::Kind::kMesh) {
        AddTransfer(RowsOf(base_.meshes[task.index], true), shards, TransferHalf::kFirst, stage);
      } else if (task.kind == Task::Kind::kShard && task.begin >= shards.begin &&
                 task.begin < shards.end) {
        program_->parts[task.index].places[static_cast<size_t>(task.begin)] = {
            index, static_cast<int>(stage.tasks.size())};
        stage.tasks.push_back(task);
      }
    }
    PushJudgedLater(std::move(stage));
  }

  void PushJudgedLater(Stage stage) {
    stage.judged_later = true;
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
  const MeshPosition* mesh_;
  const Ownership* ownership_;
  const int rank_;
  std::vector<ExchangePlan>& plans_;
  std::vector<TransferPlan>& transfers_;
  std::vector<GatherPlan>& gathers_;
  std::optional<Agreement> agreement_;  // of a mesh
  size_t piped_ = 0;  // stages of the base whose shards are done, micro-batch by micro-batch
  std::shared_ptr<DistributedProgram> program_ = std::make_shared<DistributedProgram>();
  std::vector<ShardRange> ranges_;
  ShardRange own_;
  int last_exchange_ = -1;
  struct Bucket {
    std::vector<Task> reductions;
    std::vector<int64_t> segment_of;
    size_t plan = 0;
  };
  Bucket& BucketAt(int index) { return buckets_[static_cast<size_t>(index)]; }
  std::vector<Bucket> buckets_;
  LateTurns late_{base_};
  std::map<uint32_t, uint32_t> own_unit_;  // of this worker's part of an update
};

}  // namespace

std::vector<SumOutput> SumsOf(const runtime::StepProgram& program) {
  std::vector<SumOutput> sums(program.sums.size());
  for (const ReduceUnit& unit : program.units) {
    if (unit.sum >= 0) sums[static_cast<size_t>(unit.sum)] = {unit.name, unit.dtype};
  }
  return sums;
}

std::shared_ptr<const runtime::StepProgram> MakeDistributedProgram(
    std::shared_ptr<const runtime::StepProgram> base, const DistributedOptions& options,
    ExchangePlans& plans) {
  INGOT_ASSERT(options.mesh == nullptr || options.ownership == nullptr,
               "on a mesh all of a part is updated by all that hold it");
  INGOT_ASSERT(options.ownership == nullptr || options.buckets == &options.ownership->buckets,
               "what is owned is dealt by buckets");
  return Distributor(std::move(base), options, plans).Run();
}

}  // namespace ingot::dist
