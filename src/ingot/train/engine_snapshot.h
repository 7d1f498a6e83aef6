// EngineSnapshot: all that an engine keeps between steps, to go back to where a round began.
#pragma once

#include <map>
#include <string>

#include "ingot/runtime/step_engine.h"

namespace ingot::train {

class EngineSnapshot {
 public:
  void Keep(const runtime::StepEngine& engine) {
    for (const std::string& name : engine.StateNames()) values_[name] = engine.ReadState(name);
  }
  void Restore(runtime::StepEngine& engine) const {
    for (const auto& [name, value] : values_) engine.WriteState(name, value);
  }
  const Tensor& of(const std::string& name) const { return values_.at(name); }

 private:
  std::map<std::string, Tensor> values_;
};

}  // namespace ingot::train
