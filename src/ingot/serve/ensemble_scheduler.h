// EnsembleScheduler: a model made of others: their outputs become inputs of further ones.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingot/serve/scheduler.h"

namespace ingot::serve {

class Repository;

struct EnsembleStep {
  std::string model;
  std::string version;                         // "": as the model's policy says
  std::map<std::string, std::string> inputs;   // the model's input -> the ensemble's tensor
  std::map<std::string, std::string> outputs;  // the model's output -> the ensemble's tensor
};

class EnsembleScheduler : public Scheduler {
 public:
  // The repository outlives it.
  EnsembleScheduler(std::vector<EnsembleStep> steps, Repository& repository);
  void Submit(JobPtr job) override;
  int64_t queued() const override { return 0; }

 private:
  const std::shared_ptr<const std::vector<EnsembleStep>> steps_;
  Repository& repository_;
};

}  // namespace ingot::serve
