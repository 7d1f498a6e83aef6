// What the workers of a run give each other besides the sums of steps: the state, for those who
// have none, their parts of a validation, and the bytes that they have sent. See training_run.h.
#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <numeric>

#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/compiler/compile.h"
#include "ingot/train/training_run.h"

namespace ingot::train {
namespace {

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

nlohmann::json RecordJson(const MetricsRecord& record) {
  nlohmann::json values = nlohmann::json::array();
  for (const auto& [name, value] : record.values) values.push_back({name, value});
  return {{"kind", record.kind},
          {"step", record.step},
          {"epoch", record.epoch},
          {"seconds", record.seconds},
          {"values", values}};
}

MetricsRecord RecordFrom(const nlohmann::json& json) {
  MetricsRecord record{json.at("kind").get<std::string>(),
                       json.at("step").get<int64_t>(),
                       json.at("epoch").get<int64_t>(),
                       json.at("seconds").get<double>(),
                       {}};
  for (const nlohmann::json& value : json.at("values")) {
    // What is not finite is null in JSON.
    record.values.emplace_back(value.at(0).get<std::string>(),
                               value.at(1).is_number() ? value.at(1).get<double>() : std::nan(""));
  }
  return record;
}

}  // namespace

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
  nlohmann::json records = nlohmann::json::array();
  for (const MetricsRecord& record : recent_records_) records.push_back(RecordJson(record));
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
                               {"samples_per_rank", samples_per_rank_},
                               {"ledger", ledger_.recent()},
                               {"records", records}};
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
  MakeMonitors();  // they forget what the sender has not seen
  best_.Restore(MonitorFrom(json.at("best")));
  early_stopping_.Restore(MonitorFrom(json.at("early_stopping")));
  plateau_.Restore(MonitorFrom(json.at("plateau")));
  plateau_falls_ = json.at("plateau_falls").get<int64_t>();
  samples_per_rank_ = json.at("samples_per_rank").get<std::vector<int64_t>>();
  ledger_.SetRecent(json.at("ledger").get<std::deque<std::pair<int64_t, std::string>>>());
  recent_records_.clear();
  for (const nlohmann::json& record : json.at("records"))
    recent_records_.push_back(RecordFrom(record));
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
  // What is held already stays until all of it has come: who sends it may be lost meanwhile.
  const bool holds = step_ >= 0 && !IsSpread();
  if (!holds) step_ = -1;
  engine_is_fresh_ = false;
  uint64_t bytes = 0;
  group_->exchange->Receive(peer, &bytes, sizeof(bytes));
  std::string text(bytes, '\0');
  group_->exchange->Receive(peer, text.data(), text.size());
  std::vector<formats::NamedTensor> newer;
  for (const std::string& name : engine_->StateNames()) {
    Tensor value = engine_->ReadState(name);
    group_->exchange->Receive(peer, value.raw(), value.bytes());
    if (holds) {
      newer.push_back({name, std::move(value)});
    } else {
      engine_->WriteState(name, value);
    }
  }
  if (rounds_) {
    std::vector<formats::NamedTensor> state = rounds_->State();
    for (formats::NamedTensor& tensor : state) {
      group_->exchange->Receive(peer, tensor.tensor.raw(), tensor.tensor.bytes());
    }
    rounds_->SetState(state);
  }
  for (const formats::NamedTensor& state : newer) engine_->WriteState(state.name, state.tensor);
  ReadRunState(text);
}

// How far this worker is: the end of an epoch, with its validation, comes after the step before it.
// Where it is spread, nobody holds the whole, but the lead on its way to a new group.
int64_t TrainingRun::StateNumber() const {
  if (IsSpread() && !holds_whole_) return -1;
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
    exchange.SendToOthers(all.data(), all.size() * sizeof(float));
  } catch (const runtime::ExchangeBroken&) {
    // Some may have it, and so it counts; the next exchange sees that the group has changed.
  }
  return all;
}

// To the lead, what each worker has sent in exchanges; after the last of them.
void TrainingRun::GatherWireBytes() {
  const dist::GroupView& view = group_->view;
  const std::array<uint64_t, 2> own = {wire_bytes_ + group_->exchange->exchange_bytes_sent(),
                                       engine_->memory_bytes()};
  if (!IsLead()) {
    group_->exchange->Send(view.lead, own.data(), sizeof(own));
    return;
  }
  for (int rank = 0; rank < view.size(); ++rank) {
    std::array<uint64_t, 2> bytes = own;
    if (rank != view.rank) group_->exchange->Receive(rank, bytes.data(), sizeof(bytes));
    const auto slot = static_cast<size_t>(view.members[static_cast<size_t>(rank)].slot);
    if (wire_bytes_per_rank_.size() <= slot) {
      wire_bytes_per_rank_.resize(slot + 1);
      memory_bytes_per_rank_.resize(slot + 1);
    }
    wire_bytes_per_rank_[slot] = bytes[0];
    memory_bytes_per_rank_[slot] = bytes[1];
  }
}

}  // namespace ingot::train
