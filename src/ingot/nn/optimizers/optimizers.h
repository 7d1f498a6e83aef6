// The optimizers that come with Ingot, one file each; OptimizerKinds() lists them.
#pragma once

#include "ingot/nn/optimizer.h"

namespace ingot::nn {

OptimizerKind SgdOptimizer();
OptimizerKind AdamOptimizer();
OptimizerKind AdamWOptimizer();
OptimizerKind RmsPropOptimizer();
OptimizerKind AdagradOptimizer();
OptimizerKind AdadeltaOptimizer();
OptimizerKind AdamaxOptimizer();
OptimizerKind NadamOptimizer();
OptimizerKind RadamOptimizer();
OptimizerKind LionOptimizer();
OptimizerKind LambOptimizer();
OptimizerKind LarsOptimizer();
OptimizerKind MuonOptimizer();

}  // namespace ingot::nn
