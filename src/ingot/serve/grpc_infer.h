// ModelInferRequest and ModelInferResponse, between bytes and jobs.
#pragma once

#include <string>
#include <string_view>

#include "ingot/serve/inference.h"
#include "ingot/serve/job.h"
#include "ingot/serve/net/call.h"

namespace ingot::serve {

// The job's inputs point into `message`, which must live as long. Throws Error(kInvalidInput) that
// names the field.
void ReadGrpcInfer(std::string_view message, bool allow_shared_memory, const Inference& inference,
                   InferJob& job, std::string& model, std::string& version);

// The message in pieces, without the frame around it; `final_flag` adds the parameter that ends a
// request's answers in a stream.
void WriteGrpcInfer(const InferJob& job, bool final_flag, std::string& head,
                    std::vector<Piece>& pieces);

}  // namespace ingot::serve
