// ONNX models behind the server: infer::Session as a Backend.
#pragma once

#include <memory>

#include "ingot/serve/backend.h"

namespace ingot::serve {

// Throws Error: the file, the model, and kUnsupported for ports that the protocol cannot carry. The
// parameter "precision" (f32 or bf16) of config.pbtxt is the session's.
std::shared_ptr<const Backend> LoadOnnxBackend(const ModelSource& source);

}  // namespace ingot::serve
