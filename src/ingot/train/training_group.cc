// A run that several processes share: joining the group, and who writes the run's files. See
// training_run.h.
//
// Every worker goes through the same loop over the same steps with the same sums, so that whoever
// is left can go on, and lead. A group that breaks in the middle of a step has changed nothing: the
// step is done again by the next group, from the newest state that a member holds.
#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/dist/distributed_program.h"
#include "ingot/dist/pipelined_exchange.h"
#include "ingot/train/training_run.h"

namespace ingot::train {
namespace {

constexpr size_t kRecentRecords = 64;

std::string MachineName() {
  char name[256] = "";
  ::gethostname(name, sizeof(name) - 1);
  return name;
}

}  // namespace

TrainResult TrainingRun::RunShared() {
  OpenGroup();
  recorder_.emplace(file_system_, nullptr, false);
  try {
    return RunAsMember();
  } catch (const dist::PeerFailed&) {
    throw;
  } catch (const Error& error) {
    if (request_.logger != nullptr) request_.logger->Log(LogLevel::kDebug, error.what());
    const int status = ExitStatus(error.code());
    if (!member_->Fail(error.message(), error.hint(), status)) {
      throw dist::PeerFailed("another worker has failed before", status);
    }
    throw;
  }
}

TrainResult TrainingRun::RunAsMember() {
  step_ = -1;
  std::string why = "it has just started";
  while (true) {
    if (!JoinGroup(why)) return EndAsFollower(RunEnd::kFinished);
    try {
      const RunEnd end = Loop();
      if (IsSpread()) GatherState();
      GatherWireBytes();
      if (IsLead()) {
        TrainResult result = Finish(end);
        LeaveLead();
        member_->Finish();
        return result;
      }
      if (member_->WaitForEnd()) return EndAsFollower(end);
      why = "the group changes";
    } catch (const runtime::ExchangeBroken& broken) {
      why = broken.message();
    }
  }
}

void TrainingRun::OpenGroup() {
  const GroupRequest& request = *request_.group;
  dist::MemberOptions options;
  options.store = request.store;
  options.token = request.token;
  options.expected_workers = request.expected_workers;
  options.most_workers = rounds_ ? setup_.replicas : setup_.programs[0]->shards();
  if (setup_.mesh) {
    options.least_workers = options.most_workers = setup_.mesh->shape.workers();
  }
  options.joins_between_steps = IsSpread();
  options.transports = request.transports;
  options.timing = request.timing;
  // Replicas need not keep step: what each of their steps may be late adds up.
  if (rounds_) options.timing.late *= static_cast<double>(*setup_.job.train.inner_steps);
  options.card.machine = MachineName();
  options.card.pid = ::getpid();
  options.card.id = fmt::format("{}-{}-{:x}", options.card.machine, options.card.pid,
                                static_cast<uint64_t>(MonotonicSeconds() * 1e6));
  options.card.slot = request.slot;
  options.card.host = request.host;
  options.card.version = request.version;
  options.card.job_digest = GroupDigest(setup_.resolved);
  options.card.kernel_digest = setup_.kernel_digest;
  data_digest_ = DataDigest();
  options.card.data_digest = data_digest_;
  options.log = [this](bool warning, const std::string& text) {
    if (request_.logger == nullptr) return;
    request_.logger->Log(warning ? LogLevel::kWarning : LogLevel::kInfo, text);
  };
  member_ = std::make_unique<dist::Member>(std::move(options));
}

bool TrainingRun::JoinGroup(std::string why) {
  while (true) {
    // What is on its way into the engine's memory must have stopped before that changes.
    LeaveGroup();
    member_->progress().doing.store("joining");
    std::optional<dist::Group> group = member_->Join(StateNumber(), why);
    if (!group) return false;
    group_ = std::move(group);
    try {
      EnterGroup();
      member_->progress().doing.store("computing");
      return true;
    } catch (const runtime::ExchangeBroken& broken) {
      why = broken.message();
    }
  }
}

void TrainingRun::EnterGroup() {
  NoteInterrupts();
  const dist::GroupView& view = group_->view;
  if (rounds_) {
    group_->exchange->SetPlans({{rounds_->Join(view.rank, view.size())}, {}, {}});
  } else if (setup_.job.train.is_async()) {
    PartSteps();
    group_->exchange->SetPlans(
        {dist::PipelinedExchange::InnerPlans(plans_.exchanges, view.rank), {}, {}});
  } else if (setup_.mesh) {
    EnterMesh();
  } else if (IsSpread()) {
    EnterSharded();
  } else {
    ShareSteps();
  }
  // Where state is spread, the lead, too, goes back to a checkpoint.
  const bool goes_back = IsSpread() && !holds_whole_;
  if (goes_back && writer_) writer_->Wait();
  if (!IsLead() || goes_back) LeaveLead();
  if (IsLead()) TakeLead();
  if (IsSpread()) {
    ShareSpreadState();
  } else {
    ShareState();
  }
  if (IsLead()) {
    Log(LogLevel::kInfo,
        fmt::format("group {} of {} workers goes on at step {}", view.epoch, view.size(), step_));
  }
  if (progress_ == nullptr) {
    const bool shows = IsLead();
    ProgressSettings settings = request_.progress;
    if (!shows) settings.out = nullptr;
    progress_ = std::make_unique<Progress>("", setup_.total_steps, step_, settings);
    if (shows) Announce();
  }
}

dist::DistributedOptions TrainingRun::ShareOptions() const {
  dist::DistributedOptions options;
  options.rank = Rank();
  options.workers = Workers();
  options.top_k = setup_.job.train.top_k.value_or(options.top_k);
  options.codec = dist::CodecOfName(setup_.job.train.compression);
  return options;
}

// Programs whose sums count later: whole steps, then those without, and with nothing but, updates.
void TrainingRun::PartSteps() {
  dist::DistributedOptions options = ShareOptions();
  std::vector<std::shared_ptr<const runtime::StepProgram>> programs;
  plans_ = {};
  for (const dist::StepPart part :
       {dist::StepPart::kWhole, dist::StepPart::kGradients, dist::StepPart::kUpdates}) {
    options.part = part;
    for (const auto& program : setup_.programs) {
      programs.push_back(dist::MakeDistributedProgram(program, options, plans_));
    }
  }
  engine_->ReplacePrograms(std::move(programs));
}

// The programs of this worker, which exchange in every step.
void TrainingRun::ShareSteps() {
  const dist::GroupView& view = group_->view;
  std::vector<std::shared_ptr<const runtime::StepProgram>> programs;
  dist::ExchangePlans plans;
  for (const auto& program : setup_.programs) {
    const dist::Buckets buckets = dist::MakeBuckets(*program);
    dist::DistributedOptions options = ShareOptions();
    options.buckets = &buckets;
    programs.push_back(view.size() == 1 ? program
                                        : dist::MakeDistributedProgram(program, options, plans));
  }
  engine_->ReplacePrograms(std::move(programs));
  group_->exchange->SetPlans(std::move(plans));
}

void TrainingRun::LeaveGroup() {
  if (group_) {
    wire_bytes_ += group_->exchange->exchange_bytes_sent();
    group_->exchange->Abandon();
  }
  group_.reset();
}

// The lead opens the run directory and writes down what the one before it did not come to.
void TrainingRun::TakeLead() {
  // Another led while this worker stood still.
  if (directory_ && store_->IsTakenOver()) LeaveLead();
  if (directory_ || out_.empty()) return;
  const bool begins = group_->view.step() < 0;
  OpenDirectory(begins && !BeginsAgain() ? request_.mode : RunMode::kShared);
  if (BeginsAgain()) return;
  if (begins) {
    if (request_.mode == RunMode::kShared && store_->Steps().empty()) {
      directory_->WriteJob(setup_.resolved.ToYaml());
    }
    return;
  }
  std::set<std::pair<std::string, int64_t>> known;
  TakeOverMetrics();
  if (file_system_.Exists(directory_->File(kMetricsFile))) {
    for (const std::string& line : Split(ReadFile(directory_->File(kMetricsFile)), '\n')) {
      const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
      if (json.is_object()) known.emplace(json.value("kind", ""), json.value("step", int64_t{-1}));
    }
  }
  recorder_.emplace(file_system_, &*directory_, setup_.job.log.tensorboard);
  for (const MetricsRecord& record : recent_records_) {
    if (known.count({record.kind, record.step}) == 0) recorder_->Add(record);
  }
  OpenLedger();
  saved_at_ = recorded_at_ = MonotonicSeconds();
  CheckStillLeads();
}

void TrainingRun::OpenLedger() {
  if (!directory_ || !request_.group->ledger) return;
  AsLead([this] { ledger_.Open(directory_->File(kLedgerFile), step_, store_->writer_folder()); });
}

void TrainingRun::TakeOverMetrics() {
  AsLead([this] {
    directory_->TakeOverMetrics(step_, epoch_sums_->weight() > 0, store_->writer_folder());
  });
}

void TrainingRun::AsLead(const std::function<void()>& write) {
  try {
    write();
  } catch (const Error&) {
    CheckStillLeads();
    throw;
  }
}

// A worker that stood still in the midst of what a lead does finds that it leads no longer.
void TrainingRun::CheckStillLeads() {
  if (!store_->IsTakenOver()) return;
  LeaveLead();
  throw runtime::ExchangeBroken("another worker leads");
}

void TrainingRun::LeaveLead() {
  if (!directory_) return;
  recorder_.emplace(file_system_, nullptr, false);
  ledger_.Close();
  writer_.reset();
  store_->End();
  store_.reset();
  directory_.reset();
}

bool TrainingRun::StopIsAgreed() const {
  if (!group_ || group_->view.size() == 1) return Interrupted();
  return group_->exchange->agreed_to_stop();
}

// Between two steps, by every worker for all of them.
void TrainingRun::CountSamples(int64_t step) {
  const std::vector<dist::MemberInfo>& members = group_->view.members;
  const std::vector<int64_t> samples = SamplesOfRanks(step);
  for (size_t rank = 0; rank < members.size(); ++rank) {
    const auto slot = static_cast<size_t>(members[rank].slot);
    if (samples_per_rank_.size() <= slot) samples_per_rank_.resize(slot + 1);
    samples_per_rank_[slot] += samples[rank];
  }
  if (request_.group->ledger) AddToLedger(step, samples);
  dist::Progress& progress = member_->progress();
  progress.step.store(step + 1);
  progress.samples.store(
      samples_per_rank_[static_cast<size_t>(members[static_cast<size_t>(group_->view.rank)].slot)]);
}

// Of a step's samples, how many each rank of the group computes.
std::vector<int64_t> TrainingRun::SamplesOfRanks(int64_t step) const {
  std::vector<int64_t> samples;
  if (rounds_) {
    const int64_t batch = setup_.batches->BatchOf(step);
    for (const dist::ShardRange& own : dist::DealShards(setup_.replicas, group_->view.size())) {
      samples.push_back(batch * own.end / setup_.replicas - batch * own.begin / setup_.replicas);
    }
    return samples;
  }
  const auto& program = *setup_.programs[static_cast<size_t>(setup_.ProgramOf(step))];
  // The workers that hold the parts of one model see the same samples.
  const int parts = setup_.mesh ? setup_.mesh->shape.parts() : 1;
  for (const dist::ShardRange& own :
       dist::DealShards(program.shards(), group_->view.size() / parts)) {
    samples.insert(samples.end(), static_cast<size_t>(parts),
                   program.shard_begin[static_cast<size_t>(own.end)] -
                       program.shard_begin[static_cast<size_t>(own.begin)]);
  }
  return samples;
}

void TrainingRun::AddToLedger(int64_t step, const std::vector<int64_t>& samples) {
  nlohmann::json ranks = nlohmann::json::array();
  const auto parts = static_cast<size_t>(setup_.mesh ? setup_.mesh->shape.parts() : 1);
  for (size_t rank = 0; rank < samples.size(); rank += parts) {
    ranks.push_back({group_->view.members[rank].slot, samples[rank]});
  }
  const nlohmann::ordered_json line = {{"step", step},
                                       {"epoch", step / setup_.steps_per_epoch()},
                                       {"group", group_->view.epoch},
                                       {"samples", setup_.batches->SamplesOf(step)},
                                       {"ranks", ranks}};
  ledger_.Add(step, line.dump());
}

void TrainingRun::Record(const MetricsRecord& record) {
  recorder_->Add(record);
  if (!group_) return;
  recent_records_.push_back(record);
  if (recent_records_.size() > kRecentRecords) recent_records_.pop_front();
}

TrainResult TrainingRun::EndAsFollower(RunEnd end) {
  TrainResult result;
  result.end = end;
  result.is_lead = false;
  return result;
}

std::string TrainingRun::NotFiniteRanks() const {
  if (!group_) return "";
  std::vector<std::string> names;
  std::vector<int> ranks = group_->exchange->not_finite_ranks();
  if (setup_.job.train.has_rounds()) ranks = {group_->view.rank};  // each finds its own
  for (const int rank : ranks) {
    const dist::MemberInfo& member = group_->view.members[static_cast<size_t>(rank)];
    names.push_back(fmt::format("{} ({})", member.slot, member.machine));
  }
  if (names.empty()) return "";
  return std::string(names.size() == 1 ? " on rank " : " on ranks ") + Join(names, ", ");
}

}  // namespace ingot::train
