// What `ingot predict` is given: a picture, arrays or a table, as raw samples of the model.
#pragma once

#include <string>

#include "ingot/infer/predictor.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cli {

struct PredictionInput {
  Tensor samples;       // [n, ...], each row a raw_input() of the model
  bool single = false;  // a picture, or an array of the shape of one sample
};

// Reads a PNG, JPEG, IDX or npy file, or else a CSV file. The features of a table are found as the
// job's source of data says, its label column need not be there; for other models each row holds
// the numbers of one sample, with or without a header row. Throws Error: what the readers throw,
// and kInvalidInput that says what the model takes where the input does not fit.
PredictionInput ReadPredictionInput(const std::string& path, infer::Predictor& predictor);

}  // namespace ingot::cli
