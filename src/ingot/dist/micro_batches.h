// The order in which one stage of a pipeline takes its micro-batches.
#pragma once

#include <algorithm>
#include <vector>

namespace ingot::dist {

struct MicroBatchTurn {
  int micro_batch = 0;
  bool is_backward = false;
};

// One forward, one backward (1F1B, PipeDream-Flush, Narayanan et al. 2021): first as many forward
// as there are stages behind this one, then one backward after each one forward, so that as few
// micro-batches as possible are at hand.
inline std::vector<MicroBatchTurn> OneForwardOneBackward(int micro_batches, int stages_behind) {
  std::vector<MicroBatchTurn> turns;
  const int ahead = std::min(micro_batches, stages_behind);
  for (int m = 0; m < ahead; ++m) turns.push_back({m, false});
  for (int m = ahead; m < micro_batches + ahead; ++m) {
    if (m < micro_batches) turns.push_back({m, false});
    turns.push_back({m - ahead, true});
  }
  return turns;
}

}  // namespace ingot::dist
