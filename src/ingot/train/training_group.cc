// A run that several processes share: joining the group, giving the state to those who have none,
// and who writes the run's files. See training_run.h.
//
// Every worker goes through the same loop over the same steps with the same sums, so that whoever
// is left can go on, and lead. A group that breaks in the middle of a step has changed nothing: the
// step is done again by the next group, from the newest state that a member holds.
#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/compiler/compile.h"
#include "ingot/dist/distributed_program.h"
#include "ingot/dist/pipelined_exchange.h"
#include "ingot/train/training_run.h"

namespace ingot::train {
namespace {

constexpr size_t kRecentRecords = 64;

nlohmann::json MonitorJson(const MonitorState& state) {
  return {{"metric", state.metric},
          {"best", state.best},
          {"best_step", state.best_step},
          {"waited", state.waited}};
}

MonitorState MonitorFrom(const nlohmann::json& json) {
  MonitorState state;
  state.metric = json.at("metric").get<std::string>();
  if (json.at("best").is_number()) state.best = json.at("best").get<double>();
  state.best_step = json.at("best_step").get<int64_t>();
  state.waited = json.at("waited").get<int64_t>();
  return state;
}

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
  options.transport = request.transport;
  options.timing = request.timing;
  options.card.machine = MachineName();
  options.card.pid = ::getpid();
  options.card.id = fmt::format("{}-{}-{:x}", options.card.machine, options.card.pid,
                                static_cast<uint64_t>(MonotonicSeconds() * 1e6));
  options.card.slot = request.slot;
  options.card.host = request.host;
  options.card.version = request.version;
  options.card.job_digest = setup_.job_digest;
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
    group_->exchange->SetPlans({rounds_->Join(view.rank, view.size())});
  } else if (setup_.job.train.is_async()) {
    PartSteps();
    group_->exchange->SetPlans(dist::PipelinedExchange::InnerPlans(plans_, view.rank));
  } else {
    ShareSteps();
  }
  if (!IsLead()) LeaveLead();
  if (IsLead()) TakeLead();
  ShareState();
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
  plans_.clear();
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
  const dist::DistributedOptions options = ShareOptions();
  std::vector<std::shared_ptr<const runtime::StepProgram>> programs;
  std::vector<dist::ExchangePlan> plans;
  for (const auto& program : setup_.programs) {
    programs.push_back(view.size() == 1 ? program
                                        : dist::MakeDistributedProgram(program, options, plans));
  }
  engine_->ReplacePrograms(std::move(programs));
  group_->exchange->SetPlans(std::move(plans));
}

// How far this worker is: the end of an epoch, with its validation, comes after the step before it.
int64_t TrainingRun::StateNumber() const {
  if (step_ < 0) return -1;
  return 2 * step_ + (epoch_sums_->weight() == 0 ? 1 : 0);
}

// Each worker evaluates its part of the batches; what comes out are the bits of one that evaluates
// all.
std::map<std::string, double> TrainingRun::EvaluateShared(
    Evaluator& evaluator, const std::vector<formats::NamedTensor>& parameters) {
  const int64_t batches = evaluator.batches();
  const auto at = [&](int rank) { return batches * rank / Workers(); };
  std::vector<float> own;
  try {
    own = evaluator.Sums(parameters, at(Rank()), at(Rank() + 1) - at(Rank()),
                         [this] { return group_->exchange->broken().load(); });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInterrupted) throw;
    throw runtime::ExchangeBroken("the group changes");
  }
  const size_t sums = compiler::PlanOf(*setup_.programs[0]).sums.size();
  std::vector<size_t> counts;
  for (int rank = 0; rank < Workers(); ++rank) {
    counts.push_back(static_cast<size_t>(at(rank + 1) - at(rank)) * sums);
  }
  return evaluator.Means(JoinSums(own, counts));
}

// What all ranks have, in their order. By way of the lead, so that nobody is further than the one
// that writes what came out.
std::vector<float> TrainingRun::JoinSums(const std::vector<float>& own,
                                         const std::vector<size_t>& counts) {
  std::vector<float> all(std::accumulate(counts.begin(), counts.end(), size_t{0}));
  dist::GroupExchange& exchange = *group_->exchange;
  const int lead = group_->view.lead;
  if (!IsLead()) {
    exchange.Send(lead, own.data(), own.size() * sizeof(float));
    exchange.Receive(lead, all.data(), all.size() * sizeof(float));
    return all;
  }
  float* to = all.data();
  for (int rank = 0; rank < Workers(); ++rank) {
    const size_t count = counts[static_cast<size_t>(rank)];
    if (rank == lead) {
      std::copy(own.begin(), own.end(), to);
    } else {
      exchange.Receive(rank, to, count * sizeof(float));
    }
    to += count;
  }
  try {
    for (int rank = 0; rank < Workers(); ++rank) {
      if (rank != lead) exchange.Send(rank, all.data(), all.size() * sizeof(float));
    }
  } catch (const runtime::ExchangeBroken&) {
    // Some may have it, and so it counts; the next exchange sees that the group has changed.
  }
  return all;
}

void TrainingRun::LeaveGroup() {
  if (group_) wire_bytes_ += group_->exchange->exchange_bytes_sent();
  group_.reset();
}

// To the lead, what each worker has sent in exchanges; after the last of them.
void TrainingRun::GatherWireBytes() {
  const dist::GroupView& view = group_->view;
  const uint64_t own = wire_bytes_ + group_->exchange->exchange_bytes_sent();
  if (!IsLead()) {
    group_->exchange->Send(view.lead, &own, sizeof(own));
    return;
  }
  for (int rank = 0; rank < view.size(); ++rank) {
    uint64_t bytes = own;
    if (rank != view.rank) group_->exchange->Receive(rank, &bytes, sizeof(bytes));
    const auto slot = static_cast<size_t>(view.members[static_cast<size_t>(rank)].slot);
    if (wire_bytes_per_rank_.size() <= slot) wire_bytes_per_rank_.resize(slot + 1);
    wire_bytes_per_rank_[slot] = bytes;
  }
}

// From those who have done the most steps to all others; where nobody holds the state, the lead
// begins, or takes the newest checkpoint.
void TrainingRun::ShareState() {
  const dist::GroupView& view = group_->view;
  const int64_t newest = view.step();
  std::vector<int> holders;
  std::vector<int> others;
  for (int rank = 0; rank < view.size(); ++rank) {
    const bool holds =
        newest < 0 ? rank == view.lead : view.members[static_cast<size_t>(rank)].step == newest;
    (holds ? holders : others).push_back(rank);
  }
  if (newest < 0 && IsLead() && step_ < 0) {
    step_ = 0;
    Initialize();
    OpenLedger();
  }
  for (size_t i = 0; i < others.size(); ++i) {
    const int holder = holders[i % holders.size()];
    if (holder == view.rank) SendState(others[i]);
    if (others[i] == view.rank) ReceiveState(holder);
  }
}

std::string TrainingRun::WriteRunState() const {
  const nlohmann::json json = {{"out", out_},
                               {"step", step_},
                               {"first_step", first_step_},
                               {"was_resumed", was_resumed_},
                               {"epoch_sums", epoch_sums_->State()},
                               {"interval_sums", interval_sums_->State()},
                               {"best", MonitorJson(best_.state())},
                               {"early_stopping", MonitorJson(early_stopping_.state())},
                               {"plateau", MonitorJson(plateau_.state())},
                               {"plateau_falls", plateau_falls_},
                               {"samples_per_rank", samples_per_rank_}};
  return json.dump();
}

void TrainingRun::ReadRunState(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text);
  out_ = json.at("out").get<std::string>();
  step_ = json.at("step").get<int64_t>();
  first_step_ = json.at("first_step").get<int64_t>();
  was_resumed_ = json.at("was_resumed").get<bool>();
  epoch_sums_->Clear();
  interval_sums_->Clear();
  epoch_sums_->Restore(json.at("epoch_sums").get<std::map<std::string, double>>());
  interval_sums_->Restore(json.at("interval_sums").get<std::map<std::string, double>>());
  best_.Restore(MonitorFrom(json.at("best")));
  early_stopping_.Restore(MonitorFrom(json.at("early_stopping")));
  plateau_.Restore(MonitorFrom(json.at("plateau")));
  plateau_falls_ = json.at("plateau_falls").get<int64_t>();
  samples_per_rank_ = json.at("samples_per_rank").get<std::vector<int64_t>>();
}

void TrainingRun::SendState(int peer) {
  const std::string text = WriteRunState();
  const uint64_t bytes = text.size();
  group_->exchange->Send(peer, &bytes, sizeof(bytes));
  group_->exchange->Send(peer, text.data(), text.size());
  for (const std::string& name : engine_->StateNames()) {
    const Tensor value = engine_->ReadState(name);
    group_->exchange->Send(peer, value.raw(), value.bytes());
  }
  if (!rounds_) return;
  for (const formats::NamedTensor& state : rounds_->State()) {
    group_->exchange->Send(peer, state.tensor.raw(), state.tensor.bytes());
  }
}

void TrainingRun::ReceiveState(int peer) {
  // Until all of it has come there is none.
  step_ = -1;
  uint64_t bytes = 0;
  group_->exchange->Receive(peer, &bytes, sizeof(bytes));
  std::string text(bytes, '\0');
  group_->exchange->Receive(peer, text.data(), text.size());
  for (const std::string& name : engine_->StateNames()) {
    Tensor value = engine_->ReadState(name);
    group_->exchange->Receive(peer, value.raw(), value.bytes());
    engine_->WriteState(name, value);
  }
  if (rounds_) {
    std::vector<formats::NamedTensor> state = rounds_->State();
    for (formats::NamedTensor& tensor : state) {
      group_->exchange->Receive(peer, tensor.tensor.raw(), tensor.tensor.bytes());
    }
    rounds_->SetState(state);
  }
  ReadRunState(text);
}

// The lead opens the run directory and writes down what the one before it did not come to.
void TrainingRun::TakeLead() {
  if (directory_ || out_.empty()) return;
  const bool begins = group_->view.step() < 0;
  OpenDirectory(begins ? request_.mode : RunMode::kShared);
  if (begins) {
    if (request_.mode == RunMode::kShared && store_->Steps().empty()) {
      directory_->WriteJob(setup_.resolved.ToYaml());
    }
    return;
  }
  std::set<std::pair<std::string, int64_t>> known;
  directory_->TruncateMetrics(step_);
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
}

void TrainingRun::OpenLedger() {
  if (directory_ && request_.group->ledger) ledger_.Open(directory_->File(kLedgerFile), step_);
}

void TrainingRun::LeaveLead() {
  if (!directory_) return;
  recorder_.emplace(file_system_, nullptr, false);
  ledger_.Close();
  writer_.reset();
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
  for (const dist::ShardRange& own : dist::DealShards(program.shards(), group_->view.size())) {
    samples.push_back(program.shard_begin[static_cast<size_t>(own.end)] -
                      program.shard_begin[static_cast<size_t>(own.begin)]);
  }
  return samples;
}

void TrainingRun::AddToLedger(int64_t step, const std::vector<int64_t>& samples) {
  nlohmann::json ranks = nlohmann::json::array();
  for (size_t rank = 0; rank < samples.size(); ++rank) {
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
