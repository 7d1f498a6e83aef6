// The ops that come with Ingot.
#pragma once

#include "ingot/ir/op.h"

namespace ingot::ops {

// A registry of every op family in families/, each call a new one (a few hundred microseconds): a
// program builds it once, may add its own ops, and keeps it as long as any graph made with it.
ir::OpRegistry StandardOps();

}  // namespace ingot::ops
