// ingot bench: how fast a model runs, where its time goes, and how other engines do beside it.
#include <algorithm>
#include <chrono>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/machine.h"
#include "ingot/base/text.h"
#include "ingot/cli/model_arguments.h"
#include "ingot/cli/peers.h"
#include "ingot/cli/program.h"
#include "ingot/infer/benchmark.h"
#include "ingot/infer/executor.h"
#include "ingot/infer/session.h"

namespace ingot::cli {
namespace {

using infer::Latency;
using Json = nlohmann::ordered_json;

class Bench : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("MODEL", &model_, "an ONNX file");
    options.Number("--batch", &batch_, "N", "samples of a run (default: 1)", 1);
    options.Threads(&threads_, "threads (default: the CPUs that this process may use)");
    options.Real("--seconds", &seconds_, "S", "time of each measurement (default: 3)", 0.01, 3600);
    options.Texts("--dim", &dims_, "NAME=N", "the number of a dynamic dimension (default: 128)");
    options.Choice("--precision", &precision_, "of products: f32 (default) or bf16",
                   {"f32", "bf16"});
    options.Text(
        "--compare", &compare_, "PEERS",
        "also onnxruntime, openvino or both (onnxruntime,openvino), in turns, from Python");
    options.Text("--venv", &venv_, "DIR",
                 "Python environment of --compare (default: in the cache folder)");
    options.Number("--cycles", &cycles_, "N",
                   "instead: load, run and unload N times; prints how resident memory grew", 1);
    options.Flag("--json", &json_, "prints JSON");
  }

  int Run(const Streams& streams) override {
    if (cycles_) return RunCycles(streams);
    const auto begin = std::chrono::steady_clock::now();
    const std::unique_ptr<infer::Session> session = Load(threads_);
    const double loaded = SecondsSince(begin);
    ReadDims(*session);
    const std::vector<Tensor> inputs = InputsFor(*session, batch_.value_or(1));
    session->Run(inputs);
    const double first = SecondsSince(begin);
    std::vector<double> times;
    Time(*session, inputs, 0.1 * seconds_.value_or(3), times);
    times.clear();
    const std::vector<Peer> peers = Interleave(streams, *session, inputs, times);
    const Latency latency = Latency::Of(times);
    if (json_) {
      streams.Out(JsonOf(*session, latency, loaded, first, peers, inputs).dump(2) + "\n");
      return kOk;
    }
    const int threads = session->executor().threads();
    streams.Out(fmt::format("{}: batch {}, {} thread{}\n", model_, batch_.value_or(1), threads,
                            threads == 1 ? "" : "s"));
    for (const infer::PortInfo& port : session->inputs()) {
      streams.Out("  input " + port.Describe() + "\n");
    }
    streams.Out(fmt::format("loaded in {:.1f} ms, first result after {:.1f} ms\n\n", loaded * 1e3,
                            first * 1e3));
    PrintLatencies(streams, latency, peers);
    PrintThroughput(streams);
    PrintKernels(streams, *session, inputs);
    streams.Out(fmt::format("\nmemory: {} now, {} at most; {} packed weights, {} arena\n",
                            HumanBytes(ResidentBytes()), HumanBytes(PeakResidentBytes()),
                            HumanBytes(session->executor().packed_bytes()),
                            HumanBytes(session->executor().arena_bytes(inputs))));
    return kOk;
  }

 private:
  static constexpr int kProfiledRuns = 20;

  struct Peer {
    std::string name;
    std::vector<double> times;
    std::string problem;
    Latency latency;
  };

  static double SecondsSince(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  // What is there after the first tenth (a hundred at most) has been there once for good.
  int RunCycles(const Streams& streams) {
    const int64_t warm = std::clamp<int64_t>(*cycles_ / 10, 1, 100);
    uint64_t before = 0;
    const auto begin = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < *cycles_; ++i) {
      if (i == warm) before = ResidentBytes();
      const std::unique_ptr<infer::Session> session = Load(threads_);
      if (i == 0) ReadDims(*session);
      session->Run(InputsFor(*session, batch_.value_or(1)));
    }
    const double milliseconds = SecondsSince(begin) * 1e3 / static_cast<double>(*cycles_);
    const uint64_t after = ResidentBytes();
    const auto growth =
        *cycles_ > warm ? static_cast<int64_t>(after) - static_cast<int64_t>(before) : 0;
    if (json_) {
      Json json;
      json["cycles"] = *cycles_;
      json["milliseconds_per_cycle"] = milliseconds;
      json["resident_bytes"] = after;
      json["growth_bytes"] = growth;
      streams.Out(json.dump(2) + "\n");
      return kOk;
    }
    streams.Out(
        fmt::format("{}: {} times loaded, run and unloaded, {:.3f} ms each; {} resident, {} "
                    "bytes more than after {}\n",
                    model_, *cycles_, milliseconds, HumanBytes(after), growth, warm));
    return kOk;
  }

  std::unique_ptr<infer::Session> Load(std::optional<int64_t> threads) const {
    infer::SessionOptions options;
    options.threads = static_cast<int>(threads.value_or(0));
    if (!precision_.empty()) options.precision = infer::ParsePrecision(precision_);
    return infer::Session::Load(model_, options);
  }

  // The name of the first dimension says what the batch is, where all inputs have the same one.
  void ReadDims(const infer::Session& session) {
    const bool names_batch = infer::FirstNames(session.inputs()).size() <= 1;
    for (const auto& [name, extent] : ParseDims(dims_)) {
      bool is_first = false, is_there = false;
      for (const infer::PortInfo& port : session.inputs()) {
        for (size_t axis = 0; axis < port.dims.size(); ++axis) {
          if (port.dims[axis] >= 0 || port.symbols[axis] != name) continue;
          is_there = true;
          is_first = is_first || axis == 0;
        }
      }
      if (!is_there) {
        throw Error(ErrorCode::kInvalidInput, "--dim: no input has a dimension '" + name + "'",
                    "the model wants: " + session.DescribeInputs());
      }
      if (!is_first || !names_batch) {
        extents_[name] = extent;
      } else if (batch_.value_or(extent) == extent) {
        batch_ = extent;
      } else {
        throw Error(ErrorCode::kInvalidInput,
                    fmt::format("--batch is {}, and --dim makes '{}', the batch, {}", *batch_, name,
                                extent));
      }
    }
  }

  std::vector<Tensor> InputsFor(const infer::Session& session, int64_t batch) const {
    infer::BenchDimensions dimensions;
    dimensions.batch = batch;
    dimensions.symbols = extents_;
    return infer::MakeBenchInputs(session.inputs(), dimensions);
  }

  static void Time(const infer::Session& session, const std::vector<Tensor>& inputs, double seconds,
                   std::vector<double>& times) {
    std::vector<Tensor> outputs = session.Run(inputs);
    infer::Measure([&] { session.RunInto(inputs, outputs); }, seconds, times);
  }

  // Ours and the peers' in turns, so that a busy machine is busy for all.
  std::vector<Peer> Interleave(const Streams& streams, const infer::Session& session,
                               const std::vector<Tensor>& inputs, std::vector<double>& times) {
    const double seconds = seconds_.value_or(3);
    std::vector<Peer> peers;
    for (const std::string& name : Split(compare_, ',')) {
      if (!name.empty()) peers.push_back({name, {}, "", {}});
    }
    if (peers.empty()) {
      Time(session, inputs, seconds, times);
      return peers;
    }
    PeerRequest request;
    request.model = model_;
    request.threads = session.executor().threads();
    request.folder = venv_.empty() ? CacheFolder() + "/bench-peers" : venv_;
    for (const Peer& peer : peers) request.peers.push_back(peer.name);
    for (size_t i = 0; i < inputs.size(); ++i) {
      std::string line =
          session.inputs()[i].name + " " + std::string(Name(inputs[i].dtype())) + " ";
      for (const int64_t dim : inputs[i].shape().dims()) line += std::to_string(dim) + ",";
      request.inputs.push_back(line);
    }
    if (!json_) streams.Err("preparing " + compare_ + "\n");
    PeerBenchmark benchmark(request);
    constexpr int kRounds = 5;
    for (Peer& peer : peers) benchmark.Run(peer.name, 0.1, peer.problem);
    for (int round = 0; round < kRounds; ++round) {
      Time(session, inputs, seconds / kRounds, times);
      for (Peer& peer : peers) {
        if (!peer.problem.empty()) continue;
        const std::vector<double> more = benchmark.Run(peer.name, seconds / kRounds, peer.problem);
        peer.times.insert(peer.times.end(), more.begin(), more.end());
      }
    }
    for (Peer& peer : peers) peer.latency = Latency::Of(peer.times);
    return peers;
  }

  Json JsonOf(const Latency& latency) const {
    Json json;
    json["p50_microseconds"] = latency.p50;
    json["p90_microseconds"] = latency.p90;
    json["p99_microseconds"] = latency.p99;
    json["per_second"] = PerSecond(latency);
    json["runs"] = latency.runs;
    return json;
  }
  double PerSecond(const Latency& latency) const {
    return latency.mean > 0 ? 1e6 * static_cast<double>(batch_.value_or(1)) / latency.mean : 0;
  }

  Json JsonOf(const infer::Session& session, const Latency& latency, double loaded, double first,
              const std::vector<Peer>& peers, const std::vector<Tensor>& inputs) const {
    Json json = JsonOf(latency);
    json["batch"] = batch_.value_or(1);
    json["threads"] = session.executor().threads();
    json["load_milliseconds"] = loaded * 1e3;
    json["first_result_milliseconds"] = first * 1e3;
    json["resident_bytes"] = ResidentBytes();
    json["peak_resident_bytes"] = PeakResidentBytes();
    for (const Peer& peer : peers) {
      json["peers"][peer.name] =
          peer.problem.empty() ? JsonOf(peer.latency) : Json{{"problem", peer.problem}};
    }
    for (const infer::KernelTime& each : session.executor().Profile(inputs, kProfiledRuns)) {
      json["kernels"].push_back({{"node", each.kernel.node},
                                 {"kernel", each.kernel.kernel},
                                 {"output", each.kernel.shape},
                                 {"microseconds", MicrosecondsOf(each)},
                                 {"gflops", RateOf(each)}});
    }
    return json;
  }

  // Of one run.
  static double MicrosecondsOf(const infer::KernelTime& time) {
    return static_cast<double>(time.nanoseconds) / kProfiledRuns / 1e3;
  }
  // In GFLOP/s, those of whole numbers too; 0: not counted.
  static double RateOf(const infer::KernelTime& time) {
    return time.nanoseconds > 0 ? time.kernel.flops / MicrosecondsOf(time) / 1e3 : 0;
  }

  void PrintLatencies(const Streams& streams, const Latency& latency,
                      const std::vector<Peer>& peers) const {
    streams.Out(fmt::format("{:<14} {:>12} {:>12} {:>12} {:>14} {:>9}\n", "microseconds", "p50",
                            "p90", "p99", "samples/s", "runs"));
    const auto row = [&](const std::string& name, const Latency& l) {
      streams.Out(fmt::format("{:<14} {:>12.1f} {:>12.1f} {:>12.1f} {:>14.1f} {:>9}\n", name, l.p50,
                              l.p90, l.p99, PerSecond(l), l.runs));
    };
    row("ingot", latency);
    for (const Peer& peer : peers) {
      if (peer.problem.empty()) {
        row(peer.name, peer.latency);
      } else {
        streams.Out(fmt::format("{:<14} {}\n", peer.name, peer.problem));
      }
    }
  }

  // Samples a second at several batch sizes and numbers of threads.
  void PrintThroughput(const Streams& streams) const {
    std::vector<int64_t> threads = {1};
    if (AvailableCpus() > 1) threads.push_back(AvailableCpus());
    std::string table = fmt::format("\n{:<14}", "samples/s");
    for (const int64_t count : threads) {
      table += fmt::format(" {:>14}", fmt::format("{} thread{}", count, count == 1 ? "" : "s"));
    }
    std::vector<std::unique_ptr<infer::Session>> sessions;
    for (const int64_t count : threads) sessions.push_back(Load(count));
    for (const int64_t batch : {1, 8, 32}) {
      std::string row = fmt::format("\n{:<14}", fmt::format("batch {}", batch));
      try {
        const std::vector<Tensor> inputs = InputsFor(*sessions[0], batch);
        for (const auto& session : sessions) {
          std::vector<double> times;
          session->Run(inputs);
          Time(*session, inputs, seconds_.value_or(3) / 6, times);
          row +=
              fmt::format(" {:>14.1f}", 1e6 * static_cast<double>(batch) / Latency::Of(times).p50);
        }
      } catch (const Error& error) {
        if (batch == 1 || error.code() != ErrorCode::kInvalidInput) throw;
        continue;  // of a fixed batch
      }
      table += row;
    }
    streams.Out(table + "\n");
  }

  static void PrintKernels(const Streams& streams, const infer::Session& session,
                           const std::vector<Tensor>& inputs) {
    std::vector<infer::KernelTime> kernels = session.executor().Profile(inputs, kProfiledRuns);
    if (kernels.empty()) {
      std::string problem;
      session.executor().IsPlanned(inputs, &problem);
      streams.Out("\nruns node by node: " + problem + "\n");
      return;
    }
    double total = 0;
    for (const infer::KernelTime& each : kernels) total += static_cast<double>(each.nanoseconds);
    std::stable_sort(kernels.begin(), kernels.end(),
                     [](const auto& a, const auto& b) { return a.nanoseconds > b.nanoseconds; });
    streams.Out(fmt::format("\n{:<28} {:<26} {:<24} {:>10} {:>6} {:>9}\n", "node", "kernel",
                            "output", "us", "%", "GFLOP/s"));
    constexpr size_t kRows = 25;
    for (size_t i = 0; i < std::min(kRows, kernels.size()); ++i) {
      const infer::KernelTime& each = kernels[i];
      const double rate = RateOf(each);
      streams.Out(fmt::format("{:<28.28} {:<26.26} {:<24.24} {:>10.1f} {:>6.1f} {:>9}\n",
                              each.kernel.node, each.kernel.kernel, each.kernel.shape,
                              MicrosecondsOf(each),
                              100 * static_cast<double>(each.nanoseconds) / total,
                              rate > 0 ? fmt::format("{:.1f}", rate) : ""));
    }
    if (kernels.size() > kRows) {
      streams.Out(fmt::format("and {} more (--json has all)\n", kernels.size() - kRows));
    }
  }

  std::string model_, compare_, venv_, precision_;
  std::optional<int64_t> batch_, threads_, cycles_;
  std::optional<double> seconds_;
  std::vector<std::string> dims_;
  std::map<std::string, int64_t> extents_;  // of dimensions other than the batch
  bool json_ = false;
};

}  // namespace

void AddBench(Program& program) {
  program.Add<Bench>(
      {.name = "bench",
       .summary = "measure how fast an ONNX model runs",
       .details =
           "Prints latency, throughput, the time of each kernel with its rate, and memory. "
           "Inputs are made up:\na dynamic first dimension is --batch, others are 128 unless "
           "--dim names them.",
       .example = "ingot bench model.onnx --batch 64 --threads 2\n"
                  "ingot bench model.onnx --compare onnxruntime,openvino\n"
                  "ingot bench decoder.onnx --dim past=32 --json\n"
                  "ingot bench model.onnx --cycles 10000"});
}

}  // namespace ingot::cli
