// Calls the registration function of every family; the list is generated from the files in
// families/.
#include "ingot/ops/standard_ops.h"

namespace ingot::ops {

#define INGOT_DECLARE(function) void function(ir::OpRegistry& registry);
#include "ingot/ops/generated_list.inc"
#undef INGOT_DECLARE

ir::OpRegistry StandardOps() {
  ir::OpRegistry registry;
#define INGOT_DECLARE(function) function(registry);
#include "ingot/ops/generated_list.inc"
#undef INGOT_DECLARE
  return registry;
}

}  // namespace ingot::ops
