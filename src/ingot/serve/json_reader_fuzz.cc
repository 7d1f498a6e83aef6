// The JSON reader and what reads requests with it, over any bytes.
#include <cstdint>
#include <string>

#include "ingot/base/error.h"
#include "ingot/serve/inference.h"
#include "ingot/serve/rest_infer.h"
#include "ingot/serve/server_state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ingot::Logger log(ingot::LogLevel::kError, nullptr);
  static ingot::serve::ServerState state({}, log);
  static ingot::serve::Inference inference(state);
  struct Job : ingot::serve::InferJob {
    void Finish() override {}
  } job;
  if (size == 0) return 0;
  // The first byte says how much of the rest is JSON: where the header's length cuts.
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const int64_t json = data[0] == 255 ? -1 : static_cast<int64_t>(body.size() * data[0] / 254);
  bool binary = false;
  try {
    ingot::serve::ReadInferRequest(body, json, true, inference, job, binary);
  } catch (const ingot::Error&) {
  }
  return 0;
}
