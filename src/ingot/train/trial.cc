// What a trial takes away from a job.
#include "ingot/train/trial.h"

namespace ingot::train {

void MakeTrial(TrainRequest& request, int64_t steps) {
  Job& job = request.job;
  job.epochs = 0;
  job.steps = steps;
  job.evaluate = false;
  job.schedule = {};
  job.validation.every_epochs = 0;
  job.early_stopping.reset();
  job.checkpoint.best = "none";
  job.train = {};
  request.out.clear();
  request.handle_interrupts = false;
}

}  // namespace ingot::train
