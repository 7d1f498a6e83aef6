// TrainingRun: the inside of Train (trainer.h). One run of a job, from opening its directory to its
// summary; training_loop.cc holds the steps, training_state.cc
// the state, training_run.cc what comes before and after the steps.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ingot/base/interrupt.h"
#include "ingot/base/progress.h"
#include "ingot/dist/distributed_program.h"
#include "ingot/dist/member.h"
#include "ingot/runtime/step_engine.h"
#include "ingot/train/checkpoint_store.h"
#include "ingot/train/checkpoint_writer.h"
#include "ingot/train/engine_snapshot.h"
#include "ingot/train/evaluation.h"
#include "ingot/train/gemm_peak.h"
#include "ingot/train/local_rounds.h"
#include "ingot/train/monitor.h"
#include "ingot/train/recorder.h"
#include "ingot/train/running_sums.h"
#include "ingot/train/sample_ledger.h"
#include "ingot/train/step_timer.h"
#include "ingot/train/time_table.h"
#include "ingot/train/trainer.h"

namespace ingot::train {

class TrainingRun {
 public:
  explicit TrainingRun(const TrainRequest& request);
  TrainResult Run();

 private:
  using Values = std::vector<std::pair<std::string, double>>;

  // training_run.cc
  void Prepare();
  void NoteInterrupts();
  void OpenDirectory(RunMode mode);
  void MakeMonitors();
  void WarnOfResume() const;
  // Names samples that the source of the data left out.
  void WarnOfSkipped() const;
  void Announce();
  TrainResult Finish(RunEnd end);
  bool EvaluateTest(Summary& summary);  // false: interrupted
  void FillSummary(Summary& summary, RunEnd end) const;
  GemmPeak PeakOfAllWorkers(bool may_measure) const;
  void FillRates(Summary& summary) const;
  void FillTimes(Summary& summary) const;
  void Save(bool as_step, bool as_best, bool as_final);
  std::string DataDigest();
  void Log(LogLevel level, const std::string& message) const;

  int64_t SkippedSteps() const;  // so far, since gradients of f16 overflowed

  // training_state.cc
  void Initialize();  // the first weights, or those of a checkpoint
  void InitializeWeights();
  void Resume();
  void CheckFits(const Manifest& manifest) const;
  void DeriveState();
  void StartFromFile();
  Checkpoint Snapshot() const;
  // What is evaluated and kept as the model: the parameters, or their moving averages.
  std::vector<formats::NamedTensor> ModelParameters() const;
  // The state tensor that a parameter is evaluated with.
  const std::string& ModelSource(const std::string& parameter) const;

  // training_loop.cc
  RunEnd Loop();
  int64_t NextBoundary() const;
  runtime::StepRequest MakeStepRequest() const;
  runtime::StepResult RunSteps(int64_t count);
  runtime::StepResult RunReplica(int replica, int64_t first, int64_t count,
                                 const LocalRounds::OnSums& on_sums);
  void RunRound();
  void RunPipeline();
  void RestoreRound();
  void CountStep(int64_t step, std::span<const float> sums);
  bool ShouldStop();
  void ShowProgress(int64_t step);
  void SetEpochTitle();
  // Whether a multiple of `every` lies in what was done since the stretch before the one at hand.
  bool Passed(int64_t every) const { return every > 0 && step_ / every > before_ / every; }
  bool EndEpoch();  // false: interrupted, and to be done again
  bool Validate(int64_t epoch, Values& values, bool& is_best);
  void RecordInterval(double learning_rate);  // that of its last step
  bool RecordIsDue() const;
  bool RecordIsDueByTime() const;
  bool CheckpointIsDue() const;
  bool SaveIsDueByTime() const;
  double LearningRate(int64_t step) const {
    if (request_.learning_rate) return request_.learning_rate(step);
    return schedule_->LearningRate(step, plateau_falls_);
  }
  int64_t Epoch() const { return step_ / setup_.steps_per_epoch(); }

  void ChooseTracing();

  // training_group.cc
  TrainResult RunShared();
  TrainResult RunAsMember();
  void OpenGroup();
  bool JoinGroup(std::string why);  // false: the run has ended elsewhere
  void EnterGroup();
  void TakeLead();
  void LeaveLead();
  void OpenLedger();
  void TakeOverMetrics();
  void AsLead(const std::function<void()>& write);
  void CheckStillLeads();
  bool IsLead() const { return !group_ || group_->view.rank == group_->view.lead; }
  bool StopIsAgreed() const;
  void CountSamples(int64_t step);
  std::vector<int64_t> SamplesOfRanks(int64_t step) const;
  void AddToLedger(int64_t step, const std::vector<int64_t>& samples);
  void ShareSteps();
  dist::DistributedOptions ShareOptions() const;
  void PartSteps();
  int Rank() const { return group_ ? group_->view.rank : 0; }
  int Workers() const { return group_ ? group_->view.size() : 1; }
  void LeaveGroup();
  void Record(const MetricsRecord& record);
  TrainResult EndAsFollower(RunEnd end);
  std::string NotFiniteRanks() const;

  // training_sharing.cc
  void ShareState();
  std::string WriteRunState() const;
  void ReadRunState(const std::string& text);
  void SendState(int peer);
  void ReceiveState(int peer);
  void GatherWireBytes();
  int64_t StateNumber() const;
  std::map<std::string, double> EvaluateShared(Evaluator& evaluator,
                                               const std::vector<formats::NamedTensor>& parameters);
  std::vector<float> JoinSums(const std::vector<float>& own, const std::vector<size_t>& counts);

  // training_mesh.cc: of a model that is spread over the workers.
  void CheckMesh() const;
  void EnterMesh();
  const MeshPart& OwnPart() const;

  // training_spread.cc: where workers hold parts of the state, on a mesh or not.
  bool IsSpread() const {
    return setup_.mesh || (request_.group && setup_.job.train.shard_optimizer);
  }
  struct HeldState {
    runtime::StateTensor state;
    Shape whole;
    const passes::TensorSlice* slice;  // of a tensor that a mesh cuts; else null
  };
  void EnterSharded();
  void CheckDealtAlike(const runtime::StepProgram& program, const dist::Ownership& ownership) const;
  bool IsPart(const std::string& name) const;
  std::vector<HeldState> HeldBy(int rank) const;
  static Tensor TakePart(const HeldState& held, const Tensor& whole);
  static void PutPart(const HeldState& held, const Tensor& part, Tensor& whole);
  void ShareSpreadState();
  void GatherState();
  std::vector<int> Holders() const;
  void ForgetWhole();
  [[noreturn]] void LeaveForNewGroup();
  bool ModelIsSpread() const;
  std::vector<formats::NamedTensor> SharedModelParameters();
  // Whether a group of this run was there before, whose state is lost with one of its workers.
  bool BeginsAgain() const {
    return IsSpread() && group_ && group_->view.epoch > 1 && !holds_whole_;
  }
  // A tensor of the whole model: the engine's, or of what the lead has brought together.
  Tensor ReadWhole(const std::string& name) const;
  void WriteWhole(const std::string& name, const Tensor& value);

  // training_fault.cc
  // `replica`: of local rounds, else 0.
  [[noreturn]] void ReportNotFinite(bool state_touched, int replica = 0);
  std::map<std::string, Tensor> StepInputs(bool with_state, int replica) const;

  const TrainRequest& request_;
  std::string out_;  // the run directory; of a group: its lead's
  FileSystem& file_system_;
  int threads_;
  std::unique_ptr<InterruptGuard> interrupts_;
  PhaseClock clock_;
  std::shared_ptr<runtime::Telemetry> telemetry_;  // null where nothing is measured
  TrainingSetup setup_;
  std::optional<RunDirectory> directory_;
  std::optional<CheckpointStore> store_;
  std::optional<CheckpointWriter> writer_;
  std::optional<Recorder> recorder_;
  std::unique_ptr<runtime::StepEngine> engine_;
  bool engine_is_fresh_ = true;  // no other worker's state has been written into it
  std::shared_ptr<const runtime::BatchSource> source_;
  std::optional<TimedSource> timed_source_;
  std::optional<nn::Schedule> schedule_;
  std::unique_ptr<Evaluator> validation_;
  std::unique_ptr<Progress> progress_;
  // Of a run of several processes.
  std::unique_ptr<dist::Member> member_;
  std::optional<dist::Group> group_;
  std::vector<int64_t> samples_per_rank_;
  uint64_t wire_bytes_ = 0;                    // sent by this process in the groups before
  std::vector<uint64_t> wire_bytes_per_rank_;  // of all, at the end
  std::vector<uint64_t> memory_bytes_per_rank_;
  // Where state is spread: that of all parts, on the lead, and the step of which it is.
  std::map<std::string, Tensor> whole_;
  int64_t gathered_step_ = -1;
  bool holds_whole_ = false;                  // all of it, for the next group
  std::vector<dist::Ownership> ownerships_;   // of each program, where updates are dealt
  dist::ExchangePlans plans_;                 // of async
  EngineSnapshot beginning_;                  // of its round
  std::optional<LocalRounds> rounds_;         // where replicas train apart
  std::deque<MetricsRecord> recent_records_;  // for a lead that takes over
  SampleLedger ledger_;
  std::string data_digest_;  // "" until it is known; then used by the writer's thread alone

  int64_t step_ = 0;        // steps done
  int64_t before_ = 0;      // steps done before the last stretch of them
  int64_t first_step_ = 0;  // where this process began
  int64_t saved_step_ = -1;
  bool was_resumed_ = false;
  bool is_over_ = false;  // nothing changes the engine's state any more: it is read where it lies
  std::optional<RunningSums> epoch_sums_;
  std::optional<RunningSums> interval_sums_;
  Monitor best_;
  Monitor early_stopping_;
  Monitor plateau_;            // of the schedule
  int64_t plateau_falls_ = 0;  // of the learning rate, so far
  StepTimer timer_;
  double first_step_seconds_ = 0;
  double recorded_at_ = 0;
  double saved_at_ = 0;
  double snapshot_seconds_ = 0;  // copying what a checkpoint needs
  double begun_at_ = 0;
};

}  // namespace ingot::train
