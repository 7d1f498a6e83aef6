// The reader of ModelInferRequest, over any bytes.
#include <cstdint>
#include <string>

#include "ingot/base/error.h"
#include "ingot/serve/grpc_infer.h"
#include "ingot/serve/server_state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ingot::Logger log(ingot::LogLevel::kError, nullptr);
  static ingot::serve::ServerState state({}, log);
  static ingot::serve::Inference inference(state);
  struct Job : ingot::serve::InferJob {
    void Finish() override {}
  } job;
  std::string model, version;
  try {
    ingot::serve::ReadGrpcInfer({reinterpret_cast<const char*>(data), size}, true, inference, job,
                                model, version);
  } catch (const ingot::Error&) {
  }
  return 0;
}
