// A handful of small ops for the tests of this room, whose own ops stand in a higher one: they have
// every feature of the type system (broadcasting, symbols, unknown extents, sequences, optionals,
// subgraphs, optional and variadic ports). For tests only.
#pragma once

#include "ingot/ir/builder.h"
#include "ingot/ir/op.h"

namespace ingot::ir {

// Constant, Add, MatMul (matrices), Clamp (optional bounds), Concat (variadic), Compress (unknown
// extent), SequenceOf, ItemOf, OptionalOf, Branch (two subgraphs), Random (never merged), Step
// (several outputs, attributes of every kind).
OpRegistry TestOps();

// A constant's type follows from its attribute.
Value* Scalar(Builder& builder, double value);

}  // namespace ingot::ir
