// Complaint: what goes on being wrong is said at once, then once in a while.
#pragma once

#include "ingot/base/clock.h"

namespace ingot::dist {

// Of one thread.
class Complaint {
 public:
  // Whether it is time to say it; then it is not again for ten seconds.
  bool IsDue() {
    const double now = MonotonicSeconds();
    if (now < next_) return false;
    next_ = now + kSeconds;
    return true;
  }

 private:
  static constexpr double kSeconds = 10;
  double next_ = 0;
};

}  // namespace ingot::dist
