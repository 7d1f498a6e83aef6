// A trial: some steps of a job that are to show something, such as whether it can learn at all, and
// leave nothing behind.
#pragma once

#include <cstdint>

#include "ingot/train/trainer.h"

namespace ingot::train {

// Makes `request` one of `steps` steps at the optimizer's own rate, without validation, evaluation,
// early stopping, best checkpoint or run directory; signals do what they do in the program.
void MakeTrial(TrainRequest& request, int64_t steps);

}  // namespace ingot::train
