// Inference over REST: JSON, with tensors in it or behind it in binary.
#pragma once

#include <memory>
#include <string>

#include "ingot/serve/inference.h"
#include "ingot/serve/job.h"
#include "ingot/serve/net/call.h"

namespace ingot::serve {

// A request's JSON and what follows it, into a job. The job's inputs point into `body`, which must
// live as long. `json_bytes` < 0: all of the body is JSON. `allow_shared_memory`: regions may be
// named. Throws Error(kInvalidInput) that names the field.
void ReadInferRequest(const std::string& body, int64_t json_bytes, bool allow_shared_memory,
                      const Inference& inference, InferJob& job, bool& binary_by_default);

// The answer: the JSON, and the binary outputs as pieces. `json_bytes` is the length of the JSON
// where pieces follow, otherwise -1.
Response WriteInferResponse(const InferJob& job, bool binary_by_default, int64_t& json_bytes);

// Values of a JSON array (nested or flat) as `dtype`; throws Error(kInvalidInput).
class JsonReader;
void ReadTensorData(JsonReader& reader, DType dtype, std::string& out);
void AppendTensorData(DType dtype, std::span<const std::byte> bytes, std::string& out);
Parameter ReadParameter(JsonReader& reader);
void AppendParameter(const Parameter& parameter, std::string& out);
// Parameters that say how a request is to be scheduled; false for others.
bool TakeSchedulingParameter(const std::string& name, const Parameter& value, InferJob& job);

}  // namespace ingot::serve
