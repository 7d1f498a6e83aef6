// Ctrl-C and SIGTERM as a flag that long work looks at between steps.
#pragma once

namespace ingot {

// While it lives, the first SIGINT or SIGTERM only sets the flag, and a second one ends the process
// at once with exit status 130. A signal that was ignored before (nohup) stays ignored. One at a
// time in a process; the flag is cleared when it is made. Signals act on the whole process, which
// is why the flag is global.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();  // puts the previous handlers back
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

// Whether a signal came since the last InterruptGuard was made. Safe from any thread, and cheap
// (one load).
bool Interrupted();
// SIGINT or SIGTERM; 0 where none came.
int InterruptSignal();

}  // namespace ingot
