// The vector code of optimizers' updates: one file for each, NAME_update.cc, with its formula over
// vectors of f32 or f64; what all share is in update-inl.h, the kernel around it in
// kernels/update_kernel.cc. The formulas are those of the ops (ops/families/update_NAME.cc).
#pragma once

#include <cstddef>
#include <functional>

#include "ingot/ir/graph.h"
#include "ingot/tensor/dtype.h"

namespace ingot::cpu {

// A range of one parameter, its gradient and its state, dense arrays of `dtype` (f32 or f64).
// Outputs may be the memory of the inputs that they replace.
struct UpdateRange {
  static constexpr int kMostStates = 3;  // of a formula; the average comes on top

  DType dtype = DType::kF32;
  const void* w = nullptr;
  const void* g = nullptr;
  void* new_w = nullptr;
  const void* state[kMostStates] = {};
  void* new_state[kMostStates] = {};
  const void* average = nullptr;  // null: none
  void* new_average = nullptr;
  void* copy = nullptr;               // f32: the new parameter, rounded; null: none
  DType copy_to = DType::kUndefined;  // to this type
  size_t count = 0;
};

// The numbers of a step that all updates take come first, then those of the formula.
struct UpdateNumbers {
  enum : size_t {
    kGradientDecay,  // weight_decay, where it is added to the gradient
    kKeep,           // 1 - lr weight_decay, where it is decoupled; else 1
    kClip,           // infinity: not clipped
    kAverageStep,    // 1 - average_decay
    kFormula,        // the first of the formula
    kMost = 16
  };
};

// One optimizer's code for one node.
struct UpdateCode {
  // The formula's numbers of one step: `step` from 1 (0 where the op does not count).
  std::function<void(double learning_rate, double step, double* numbers)> derive;
  // `numbers`: all of them. Returns whether every gradient and every new parameter is finite.
  bool (*run)(const UpdateRange& range, const double* numbers, int variant) = nullptr;
  int variant = 0;  // which form of the formula the node's attributes ask for
};

// Every optimizer: a line here and a file.
#define INGOT_UPDATES(UPDATE) \
  UPDATE(Adadelta)            \
  UPDATE(Adagrad)             \
  UPDATE(Adam)                \
  UPDATE(Adamax)              \
  UPDATE(Lion)                \
  UPDATE(Nadam)               \
  UPDATE(Radam)               \
  UPDATE(RmsProp)             \
  UPDATE(Sgd)

#define INGOT_DECLARE_UPDATE(name) UpdateCode name##Update(const ir::Node& node);
INGOT_UPDATES(INGOT_DECLARE_UPDATE)
#undef INGOT_DECLARE_UPDATE

}  // namespace ingot::cpu
