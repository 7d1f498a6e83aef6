// What verbs on ONNX models are given: arrays for their inputs, extents for their dimensions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ingot/formats/npy.h"
#include "ingot/infer/session.h"

namespace ingot::cli {

// An array for each input, by its name; `path` is where they come from. Throws Error(kInvalidInput)
// that lists what the model wants where one is missing, or where there is one that nothing takes.
std::vector<Tensor> ReadInputs(const infer::Session& session, const formats::NpzFile& arrays,
                               const std::string& path);

// "batch=8" -> {"batch", 8}. Throws Error(kInvalidInput) for other texts.
std::map<std::string, int64_t> ParseDims(const std::vector<std::string>& texts);

// Floats in [-1, 1], integers of 0 and 1, keyed by the seed. Dynamic dimensions are 1 unless given.
std::vector<Tensor> RandomInputs(const infer::Session& session,
                                 const std::map<std::string, int64_t>& dims, uint64_t seed);

}  // namespace ingot::cli
