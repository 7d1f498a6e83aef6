// ingot top: the workers of a run, live.
#include <chrono>
#include <thread>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/interrupt.h"
#include "ingot/base/text.h"
#include "ingot/cli/job_arguments.h"
#include "ingot/cli/program.h"
#include "ingot/dist/store.h"
#include "ingot/dist/wire.h"
#include "ingot/train/run_directory.h"

namespace ingot::cli {
namespace {

constexpr double kAnswerSeconds = 1;

// What the coordinator of a run says of its workers; null where there is none.
dist::Json AskCoordinator(const std::string& folder) {
  if (!RealFileSystem().Exists(folder)) return nullptr;
  dist::FileStore store(folder);
  const int64_t newest = dist::LastNumber(store, "coordinator");
  const dist::Json record = dist::Json::parse(
      store.Get("coordinator-" + std::to_string(newest)).value_or(""), nullptr, false);
  if (!record.is_object()) return nullptr;
  dist::LineSocket socket = dist::LineSocket::Connect(
      {record.value("host", ""), record.value("port", 0)}, kAnswerSeconds);
  if (!socket.valid()) return nullptr;
  socket.Send({{"type", "top"}, {"token", store.Get("token").value_or("")}});
  std::vector<dist::Json> answers;
  const double until = MonotonicSeconds() + kAnswerSeconds;
  while (answers.empty() && MonotonicSeconds() < until) {
    pollfd poll = {socket.fd(), POLLIN, 0};
    ::poll(&poll, 1, 100);
    if (!socket.Receive(answers) && answers.empty()) return nullptr;
  }
  return answers.empty() ? dist::Json(nullptr) : answers[0];
}

std::string Doing(const dist::Json& worker) {
  if (worker.value("silent_seconds", 0.0) > 0.3) return "silent";
  if (worker.value("waiting_for", -1) < 0) return worker.value("doing", "");
  return fmt::format("waits {:.1f} s for rank {}: {}", worker.value("waiting_seconds", 0.0),
                     worker.value("waiting_for", -1), worker.value("what", ""));
}

std::string Table(const dist::Json& top) {
  std::string text = fmt::format(
      "group {}\n{:>4}  {:>8}  {:>9}  {:>9}  {:>10}  {:>10}  {:>13}  {}\n", top.value("epoch", 0),
      "rank", "process", "step", "samples/s", "memory", "sent", "communication", "does");
  for (const dist::Json& worker : top.at("workers")) {
    const double seconds = worker.value("seconds", 0.0);
    const double communication = worker.value("communication_seconds", 0.0);
    text +=
        fmt::format("{:>4}  {:>8}  {:>9}  {:>9}  {:>10}  {:>10}  {:>12.0f}%  {}\n",
                    worker.value("rank", -1), worker.value("pid", 0), worker.value("step", 0),
                    WithThousands(static_cast<int64_t>(worker.value("samples_per_second", 0.0))),
                    HumanBytes(worker.value("memory_bytes", uint64_t{0})),
                    HumanBytes(worker.value("bytes_sent", uint64_t{0})),
                    seconds > 0 ? 100 * communication / seconds : 0.0, Doing(worker));
  }
  return text;
}

class Top : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("RUN", &run_, "the run directory");
    options.Flag("--json", &json_, "prints what is known, once, as JSON");
    options.Flag("--once", &once_, "prints the table once");
  }

  int Run(const Streams& streams) override {
    const std::string folder = RunFolder(run_) + "/" + train::kRendezvousFolder;
    const bool live = !json_ && !once_ && ::isatty(::fileno(streams.out)) == 1;
    const InterruptGuard interrupts;
    bool shown = false;
    while (true) {
      const dist::Json top = AskCoordinator(folder);
      if (top.is_null()) {
        if (shown) return kOk;
        throw Error(ErrorCode::kNotFound, "no worker of the run " + run_ + " answers",
                    "it has ended, or is a run of one process");
      }
      shown = true;
      if (live) streams.Out("\x1b[H\x1b[2J");
      streams.Out(json_ ? top.dump(2) + "\n" : Table(top));
      std::fflush(streams.out);
      if (!live || Interrupted()) return kOk;
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
  }

 private:
  std::string run_;
  bool json_ = false;
  bool once_ = false;
};

}  // namespace

void AddTop(Program& program) {
  program.Add<Top>({.name = "top",
                    .summary = "show the workers of a run, live",
                    .details =
                        "For each worker: step, samples a second, memory, bytes sent, the share "
                        "of the time that it\nwaits for others, and what it does or waits for.",
                    .example = "ingot top runs/mnist"});
}

}  // namespace ingot::cli
