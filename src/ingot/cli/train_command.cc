// The options of training, and the run.
#include "ingot/cli/train_command.h"

#include <ctime>
#include <filesystem>

#include <fmt/format.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/log.h"
#include "ingot/base/machine.h"
#include "ingot/base/text.h"
#include "ingot/cli/explanation.h"
#include "ingot/cli/group_environment.h"
#include "ingot/cli/mnist.h"
#include "ingot/cli/train_checks.h"
#include "ingot/train/time_table.h"

namespace ingot::cli {
namespace {

// "runs/mnist-20261121-130501", with a number behind it where that is taken.
std::string DefaultFolder(const std::string& job) {
  std::string stem = std::filesystem::path(job).stem().string();
  if (stem.empty()) stem = "run";
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  ::localtime_r(&now, &local);
  char time[32] = "";
  std::strftime(time, sizeof(time), "%Y%m%d-%H%M%S", &local);
  const std::string folder = "runs/" + stem + "-" + time;
  std::string free = folder;
  for (int i = 2; RealFileSystem().Exists(free); ++i) free = fmt::format("{}-{}", folder, i);
  return free;
}

std::string Row(const std::string& name, const std::string& value) {
  return fmt::format("{:<14} {}\n", name, value);
}

// "12.3 MiB in exchanges (every_step): rank 0 6.1 MiB, rank 1 6.2 MiB".
std::string SentText(const train::Summary& summary) {
  uint64_t total = 0;
  std::string ranks;
  for (size_t rank = 0; rank < summary.wire_bytes_per_rank.size(); ++rank) {
    const uint64_t bytes = summary.wire_bytes_per_rank[rank];
    total += bytes;
    ranks += fmt::format("{} rank {} {}", rank == 0 ? "" : ",", rank, HumanBytes(bytes));
  }
  return fmt::format("{} in exchanges ({}):{}", HumanBytes(total), summary.sync, ranks);
}

// What a person wants to know at the end.
std::string ResultText(const train::Summary& summary, const std::string& out) {
  std::string text;
  if (summary.test_accuracy) {
    text += Row("test accuracy", fmt::format("{:.2f}%", 100 * *summary.test_accuracy));
  }
  if (summary.test_loss) text += Row("test loss", fmt::format("{:.4f}", *summary.test_loss));
  for (const auto& [name, value] : summary.test_metrics) {
    std::string spaced = name;
    for (char& c : spaced) c = c == '_' ? ' ' : c;
    text += Row(spaced, fmt::format("{:.4f}", value));
  }
  if (summary.best_value) {
    text += Row("best", fmt::format("{} {:.4f} after step {}", summary.best_metric,
                                    *summary.best_value, WithThousands(summary.best_step)));
  }
  std::string steps = WithThousands(summary.steps);
  if (summary.resumed_from_step > 0) {
    steps += ", resumed from " + WithThousands(summary.resumed_from_step);
  }
  if (summary.step_microseconds_median > 0) {
    steps += fmt::format(", {} each", HumanSeconds(summary.step_microseconds_median / 1e6));
  }
  if (summary.status != "finished") steps += " (" + summary.status + ")";
  text += Row("steps", steps);
  if (summary.gflops) {
    std::string rate = fmt::format("{:.1f} GFLOP/s", *summary.gflops);
    if (summary.gemm_peak_gflops) {
      rate +=
          fmt::format(", {:.0f}% of the {:.1f} that this machine's products reach",
                      100 * *summary.gflops / *summary.gemm_peak_gflops, *summary.gemm_peak_gflops);
      // Counted is what the layers ask for; what is multiplied by zero is left out.
      if (*summary.gflops > *summary.gemm_peak_gflops) rate += " (zeros are not multiplied)";
    }
    text += Row("arithmetic", rate);
  }
  if (!summary.wire_bytes_per_rank.empty()) text += Row("sent", SentText(summary));
  text += Row("time", fmt::format("{} from the start of the process, {} of memory",
                                  HumanSeconds(summary.wall_seconds),
                                  HumanBytes(summary.peak_memory_bytes)));
  text += Row("run", out);
  if (!summary.time.empty()) text += "\n" + train::TimeTableText(summary.time);
  if (const auto slowest = train::SlowestStage(summary)) {
    double sum = 0;
    for (const data::StageTime& stage : summary.data_stages) sum += stage.seconds;
    text += fmt::format(
        "\ndata: {} is the slowest of the transforms, {:.0f}% of {} of assembling samples; threads "
        "waited {} for batches\n",
        slowest->name, sum > 0 ? 100 * slowest->seconds / sum : 0, HumanSeconds(sum),
        HumanSeconds(summary.prefetch_wait_seconds));
  }
  return text;
}

}  // namespace

void TrainCommand::Declare(Options& options) {
  job_.Declare(options, false);
  options.Text("--out", &out_, "DIR", "the run directory (default: runs/JOB-DATE-TIME)");
  options.Text("--resume", &resume_, "DIR",
               "goes on with the run in that folder; JOB is by default the job in it, and more "
               "--epochs go on past its end");
  options.Flag("--overwrite", &overwrite_, "replaces a run that is in the run directory");
  options.Threads(&threads_,
                  "threads (default: the CPUs that this process may use); the result does not "
                  "depend on them");
  options.Flag("--profile", &profile_,
               "writes profile.json into the run directory: a few steps as a trace for Perfetto "
               "(ui.perfetto.dev) or chrome://tracing");
  options.Text("--profile-file", &profile_file_, "FILE", "the same, to FILE");
  options.Flag("--explain", &explain_,
               "prints the resolved job, layers, work, memory and kernels, and does not train");
  options.Flag("--json", &json_, "prints the summary (or the explanation) as JSON");
  options.Flag("--quiet", &quiet_, "shows warnings and the result only");
}

void TrainCommand::DeclareChecks(Options& options) {
  options.Flag("--find-learning-rate", &find_rate_,
               "trains some steps with a rate that grows from 1e-7 to 10, says where the loss "
               "falls fastest, and writes nothing");
  options.Flag("--overfit-one-batch", &overfit_,
               "trains on the first batch alone, says whether the network can learn it, and "
               "writes nothing");
  options.Number("--check-steps", &check_steps_, "N",
                 "steps of --find-learning-rate (default: 100) and --overfit-one-batch (default: "
                 "200)",
                 2);
}

std::vector<std::string> TrainCommand::Arguments() const {
  std::vector<std::string> arguments;
  if (!job_.job.empty()) arguments.push_back(job_.job);
  const auto text = [&](const std::string& name, const std::string& value) {
    if (!value.empty()) arguments.push_back(name + "=" + value);
  };
  const auto number = [&](const std::string& name, const std::optional<int64_t>& value) {
    if (value) arguments.push_back(name + "=" + std::to_string(*value));
  };
  const auto flag = [&](const std::string& name, bool value) {
    if (value) arguments.push_back(name);
  };
  text("--data", job_.data);
  number("--seed", job_.seed);
  number("--epochs", job_.epochs);
  for (const std::string& assignment : job_.set) text("--set", assignment);
  number("--threads", threads_);
  text("--profile-file", profile_file_);
  flag("--profile", profile_);
  flag("--json", json_);
  flag("--quiet", quiet_);
  return arguments;
}

train::TrainRequest TrainCommand::MakeRequest(const Streams& streams) {
  CheckUsage();
  const std::string resumed = resume_.empty() ? "" : RunFolder(resume_);
  if (!resumed.empty() && job_.job.empty()) job_.job = resumed;
  train::TrainRequest request;
  request.job = train::ReadJob(job_.Load());
  request.setup.find_mnist = MnistFinder(streams, quiet_);
  request.threads = static_cast<int>(threads_.value_or(ShareOfCpus()));
  request.measure_gemm_peak = true;
  request.measure_time = true;
  if (explain_) return request;
  request.progress.out = quiet_ ? nullptr : streams.err;
  if (checks()) return request;
  ChooseFolder(resumed, request);
  if (!profile_file_.empty()) CheckFolder("--profile-file", ParentDirectory(profile_file_));
  request.profile = !profile_file_.empty() ? profile_file_
                    : profile_             ? request.out + "/" + train::kProfileFile
                                           : "";
  return request;
}

int TrainCommand::Run(train::TrainRequest request, const Streams& streams) const {
  Logger logger(quiet_ ? LogLevel::kWarning : LogLevel::kInfo, streams.err);
  request.logger = &logger;
  if (find_rate_) {
    return RunRateFinder(std::move(request), check_steps_.value_or(100), json_, streams);
  }
  if (overfit_) {
    return RunOverfitCheck(std::move(request), check_steps_.value_or(200), json_, streams);
  }
  const bool is_first = !request.group || request.group->slot <= 0;
  if (is_first && out_.empty() && resume_.empty()) logger.Info("run directory: " + request.out);
  const train::TrainResult result = train::Train(request);
  if (result.is_lead) {
    streams.Out(json_ ? train::ToJson(result.summary) : ResultText(result.summary, request.out));
  }
  if (result.end != train::RunEnd::kInterrupted) return kOk;
  std::fflush(streams.out);
  if (result.is_lead) streams.Err(result.advice + "\n");
  return kInterrupted;
}

void TrainCommand::CheckUsage() const {
  if (job_.job.empty() && resume_.empty()) {
    throw Error(ErrorCode::kInvalidInput, "`ingot " + verb_ + "` needs a JOB or --resume DIR",
                "see `ingot " + verb_ + " --help`");
  }
  if (find_rate_ && overfit_) {
    throw Error(ErrorCode::kInvalidInput,
                "--find-learning-rate and --overfit-one-batch exclude each other",
                "run one after the other");
  }
  if (check_steps_ && !checks()) {
    throw Error(ErrorCode::kInvalidInput,
                "--check-steps is of --find-learning-rate or --overfit-one-batch",
                "a run's own steps are --set steps=" + std::to_string(*check_steps_));
  }
  if (resume_.empty()) return;
  if (checks()) {
    throw Error(ErrorCode::kInvalidInput, "checks begin anew: they do not go with --resume",
                "give the JOB");
  }
  if (overwrite_) {
    throw Error(ErrorCode::kInvalidInput, "--resume and --overwrite exclude each other",
                "--resume goes on with a run, --overwrite replaces it");
  }
  if (!out_.empty()) {
    throw Error(ErrorCode::kInvalidInput, "--resume and --out exclude each other",
                "a resumed run stays in its folder: leave --out out");
  }
}

void TrainCommand::ChooseFolder(const std::string& resumed, train::TrainRequest& request) const {
  if (!resumed.empty()) {
    request.mode = train::RunMode::kResume;
    request.out = resumed;
    return;
  }
  if (overwrite_) request.mode = train::RunMode::kOverwrite;
  request.out = out_.empty() ? DefaultFolder(job_.job) : out_;
  while (request.out.size() > 1 && request.out.back() == '/') request.out.pop_back();
}

int TrainCommand::Explain(const train::TrainRequest& request, const Streams& streams) const {
  const train::TrainingSetup setup = train::PrepareTraining(request.job, request.setup);
  streams.Out(json_ ? ExplanationJson(setup, request.threads)
                    : ExplanationText(setup, request.threads));
  return kOk;
}

}  // namespace ingot::cli
