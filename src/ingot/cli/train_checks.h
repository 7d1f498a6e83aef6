// Short runs of `ingot train` that answer a question and write nothing: --find-learning-rate and
// --overfit-one-batch.
#pragma once

#include <cstdint>

#include "ingot/cli/program.h"
#include "ingot/train/trainer.h"

namespace ingot::cli {

// Prints the losses at growing rates and the rate to begin with. Returns the exit code: 1 where the
// loss never fell.
int RunRateFinder(train::TrainRequest request, int64_t steps, bool json, const Streams& streams);

// Trains on the first batch alone, `steps` times: a network that cannot learn even that has a
// fault. Returns 1 where the loss does not fall to a tenth of what it was.
int RunOverfitCheck(train::TrainRequest request, int64_t steps, bool json, const Streams& streams);

}  // namespace ingot::cli
