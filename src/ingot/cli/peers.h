// Other inference engines, measured beside Ingot: ONNX Runtime and OpenVINO from Python.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ingot::cli {

struct PeerRequest {
  std::string model;
  std::vector<std::string> peers;  // of "onnxruntime", "openvino"
  std::string folder;              // of the virtual environment, made where it is absent
  int threads = 1;
  // "NAME DTYPE DIM,DIM,...": an input a line, as Ingot is given it.
  std::vector<std::string> inputs;
};

// A process that holds the model in each peer and runs one when asked to. Throws Error(kNotFound)
// without python3, Error(kIo) where packages cannot be installed, Error(kInvalidInput) for an
// unknown peer.
class PeerBenchmark {
 public:
  explicit PeerBenchmark(const PeerRequest& request);
  ~PeerBenchmark();
  PeerBenchmark(const PeerBenchmark&) = delete;
  PeerBenchmark& operator=(const PeerBenchmark&) = delete;

  // Runs a peer for so many seconds; the microseconds of each run. Empty where the peer cannot run
  // the model; `problem` says why.
  std::vector<double> Run(const std::string& peer, double seconds, std::string& problem);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

const std::vector<std::string>& KnownPeers();

}  // namespace ingot::cli
