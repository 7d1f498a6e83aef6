// Runs the cases of ops: builds the graph and the inputs of a case, and checks the op's reference
// kernel, shape rule and gradient rule with them. Backends build on it to compare their kernels
// with the reference.
//
// Inputs are a function of op, case and number of the input alone. Faults are returned as lines of
// text, so that any test framework can report them. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ingot/ir/builder.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::ops {

// How the graph's input types are written: with the extents of the inputs, or all unknown.
enum class Extents { kStatic, kUnknown };

// A graph with the op as its last node. Inputs given as Constants are nodes, absent ones are null;
// the others are graph inputs named "input0", "input1", ... by their place at the node. The node's
// outputs are the graph's outputs "output0", "output1", ...
struct CaseGraph {
  std::unique_ptr<ir::Graph> graph;
  ir::Node* node = nullptr;
  std::map<std::string, Tensor> inputs;  // of the graph
};

// The tensors of all inputs of a case (empty: absent), floats as `dtype`. Random values are drawn
// in f64 and rounded, so that every type sees nearly the same numbers.
std::vector<Tensor> CaseInputs(const ir::OpDefinition& op, const ir::OpCase& op_case, DType dtype);

// `registry` has to hold Constant; `inputs` come from CaseInputs, possibly changed.
CaseGraph BuildCase(const ir::OpRegistry& registry, const ir::OpDefinition& op,
                    const ir::OpCase& op_case, const std::vector<Tensor>& inputs,
                    Extents extents = Extents::kStatic);

// Whether the element type of any input is the one being tested.
bool DependsOnType(const ir::OpCase& op_case);

// The reference's outputs.
std::vector<Tensor> RunCase(const ir::OpRegistry& registry, const ir::OpDefinition& op,
                            const ir::OpCase& op_case, const std::vector<Tensor>& inputs);

// Half the distance of 1 to the next number of a type, for floats: the error of one rounding.
double RoundingError(DType dtype);

// "": equal types, and each element within `relative` times the largest finite one of `expected`
// (or within `absolute`); NaN equals NaN. Else what differs most and where.
std::string Compare(const Tensor& actual, const Tensor& expected, double relative,
                    double absolute = 0);

// ---- the checks; each returns its faults, one line each, empty where all is well ----

// `expected` and `formula` in f64, to 1e-9.
std::vector<std::string> CheckValues(const ir::OpRegistry& registry, const ir::OpDefinition& op,
                                     const ir::OpCase& op_case);
// The inferred types are those of the outputs, with static and with unknown extents, and the
// dynamic reference, where there is one, makes the same bits.
std::vector<std::string> CheckTypes(const ir::OpRegistry& registry, const ir::OpDefinition& op,
                                    const ir::OpCase& op_case);
// f32, f16 and bf16 give what f64 gives for the same (rounded) inputs, rounded once.
std::vector<std::string> CheckPrecision(const ir::OpRegistry& registry, const ir::OpDefinition& op,
                                        const ir::OpCase& op_case);
// The gradient rule against central differences in f64, with static and with unknown extents, for
// all float outputs together and for each alone; and that it can be built in every float type.
std::vector<std::string> CheckGradient(const ir::OpRegistry& registry, const ir::OpDefinition& op,
                                       const ir::OpCase& op_case);
// All of the above.
std::vector<std::string> CheckCase(const ir::OpRegistry& registry, const ir::OpDefinition& op,
                                   const ir::OpCase& op_case);

}  // namespace ingot::ops
