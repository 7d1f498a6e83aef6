// The epilogue that a fused node's attributes name.
#pragma once

#include "backends/cpu/activation.h"
#include "ingot/ir/graph.h"

namespace ingot::cpu {

// Of attributes `epilogue`, `alpha` and, where the op has it, `beta`; false for an unknown name.
bool FindEpilogue(const ir::Node& node, Epilogue& epilogue);

}  // namespace ingot::cpu
