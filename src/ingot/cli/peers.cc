// The process is driven by lines: "PEER SECONDS" in, a JSON list of microseconds or a message out.
#include "ingot/cli/peers.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file_descriptor.h"
#include "ingot/base/text.h"

namespace ingot::cli {
namespace {

constexpr const char* kScript = R"python(
import json, sys, time
import numpy as np

model, threads = sys.argv[1], int(sys.argv[2])
kinds = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "i64": np.int64, "i32": np.int32,
         "i8": np.int8, "u8": np.uint8, "bool": np.bool_, "i16": np.int16, "u16": np.uint16}
inputs = {}
for line in sys.argv[3:]:
    name, kind, dims = line.rsplit(" ", 2)
    shape = [int(d) for d in dims.split(",") if d]
    if kind in ("f32", "f64", "f16"):
        inputs[name] = np.random.default_rng(1).random(shape).astype(kinds[kind])
    else:
        inputs[name] = np.random.default_rng(1).integers(0, 2, shape).astype(kinds[kind])

def onnxruntime():
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)

def openvino():
    import openvino as ov
    core = ov.Core()
    config = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
              "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", config)
    request = compiled.create_infer_request()
    return lambda: request.infer(inputs)

made = {}
for line in sys.stdin:
    peer, seconds = line.split()
    try:
        if peer not in made:
            made[peer] = globals()[peer]()
            made[peer]()
        run, times = made[peer], []
        end = time.perf_counter() + float(seconds)
        while len(times) < 5 or time.perf_counter() < end:
            start = time.perf_counter_ns()
            run()
            times.append((time.perf_counter_ns() - start) / 1000)
        print(json.dumps(times), flush=True)
    except Exception as error:
        print(json.dumps(str(error).splitlines()[:1]), flush=True)
)python";

int RunProgram(const std::vector<std::string>& words) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    ::dup2(2, 1);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

// Python in the environment, with what the peers need.
std::string PreparePython(const PeerRequest& request) {
  const std::string python = request.folder + "/bin/python";
  std::string imports = "import numpy";
  for (const std::string& peer : request.peers) imports += ", " + peer;
  if (std::filesystem::exists(python) && RunProgram({python, "-c", imports}) == 0) return python;
  if (RunProgram({"python3", "-m", "venv", request.folder}) != 0) {
    throw Error(ErrorCode::kNotFound, "cannot make a Python environment in " + request.folder,
                "python3 with its venv module is needed for --compare");
  }
  std::vector<std::string> install = {python, "-m", "pip", "install", "--quiet", "numpy"};
  install.insert(install.end(), request.peers.begin(), request.peers.end());
  if (RunProgram(install) != 0) {
    throw Error(ErrorCode::kIo,
                "cannot install " + Join(request.peers, ", ") + " into " + request.folder);
  }
  return python;
}

}  // namespace

const std::vector<std::string>& KnownPeers() {
  static const std::vector<std::string> peers = {"onnxruntime", "openvino"};
  return peers;
}

struct PeerBenchmark::State {
  pid_t child = -1;
  std::FILE* to = nullptr;
  std::FILE* from = nullptr;
};

PeerBenchmark::PeerBenchmark(const PeerRequest& request) : state_(std::make_unique<State>()) {
  for (const std::string& peer : request.peers) {
    if (std::find(KnownPeers().begin(), KnownPeers().end(), peer) != KnownPeers().end()) continue;
    throw Error(ErrorCode::kInvalidInput, "cannot compare with '" + peer + "'",
                DidYouMean(peer, KnownPeers()));
  }
  std::vector<std::string> words = {PreparePython(request), "-c", kScript, request.model,
                                    std::to_string(request.threads)};
  words.insert(words.end(), request.inputs.begin(), request.inputs.end());
  Pipe down = MakePipe();
  Pipe up = MakePipe();
  state_->child = ::fork();
  if (state_->child == 0) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::dup2(down.reads.get(), 0);
    ::dup2(up.writes.get(), 1);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  state_->to = ::fdopen(down.writes.Release(), "w");
  state_->from = ::fdopen(up.reads.Release(), "r");
}

PeerBenchmark::~PeerBenchmark() {
  if (state_->to != nullptr) std::fclose(state_->to);  // its end ends the process
  if (state_->from != nullptr) std::fclose(state_->from);
  if (state_->child > 0) ::waitpid(state_->child, nullptr, 0);
}

std::vector<double> PeerBenchmark::Run(const std::string& peer, double seconds,
                                       std::string& problem) {
  std::fprintf(state_->to, "%s %f\n", peer.c_str(), seconds);
  std::fflush(state_->to);
  char* line = nullptr;
  size_t room = 0;
  const ssize_t length = ::getline(&line, &room, state_->from);
  const std::string text(line == nullptr || length < 0 ? "" : line);
  std::free(line);
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  std::vector<double> times;
  if (json.is_array() && !json.empty() && json[0].is_number()) {
    times = json.get<std::vector<double>>();
  } else {
    problem = json.is_array() && !json.empty() ? json[0].get<std::string>() : "it ended";
  }
  return times;
}

}  // namespace ingot::cli
