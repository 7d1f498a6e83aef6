// Ingot's public API: a training job from C++. Link ingot::ingot, which find_package(ingot) gives.
//
//   ingot::TrainRequest request;
//   request.job = ingot::LoadJob("job.yaml");      // or ParseJob(text); every key is a member
//   request.job.epochs = 3;
//   ingot::TrainResult result = ingot::Train(request);
//
// The rooms' own headers (<ingot/ir/op.h>, <ingot/nn/layer.h>, ...) are installed beside this one,
// for programs that add ops, layers or sources of data; ARCHITECTURE.md says what is where.
// Everything that fails throws ingot::Error. A job, a request and a result are plain values; Train
// may be called from any thread, one call for each run directory at a time.
#pragma once

#include <string>
#include <string_view>

#include "ingot/base/config.h"
#include "ingot/base/error.h"
#include "ingot/tensor/tensor.h"
#include "ingot/train/job.h"
#include "ingot/train/trainer.h"

namespace ingot {

using train::Job;
using train::RunEnd;
using train::RunMode;
using train::Summary;
using train::Train;
using train::TrainRequest;
using train::TrainResult;

// A job from the text of a job file. Relative names of files in it are relative to the working
// directory. Throws Error(kInvalidInput) "job:LINE:COLUMN: ..." at the place of the fault.
inline Job ParseJob(std::string_view yaml) {
  return train::ReadJob(ParseConfig(yaml, "job"));
}

// A job file. Throws Error: kNotFound or kIo where it cannot be read, and what ParseJob throws.
inline Job LoadJob(const std::string& path) {
  return train::ReadJob(LoadConfig(path));
}

}  // namespace ingot
