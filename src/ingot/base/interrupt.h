// Ctrl-C, SIGTERM and the loss of the terminal (SIGHUP) as a flag that long work looks at between
// steps, and as the end of the program before there is anything to save.
#pragma once

namespace ingot {

// From here on the first SIGINT, SIGTERM or SIGHUP ends the process at once with exit status 130
// and a word on stderr, but while an InterruptGuard lives. For a program's main: what it does until
// a guard is made (reading data, compiling) leaves nothing behind that would have to be saved.
// Signals that were ignored before (nohup) stay ignored.
void EndOnInterrupt();

// What a SIGINT or SIGTERM does that is not the first.
enum class FurtherInterrupts {
  kEndProcess,  // at once, with exit status 130
  kAreCounted,  // see InterruptedAgain: for who has others to end first
};

// While it lives, the first SIGINT, SIGTERM or SIGHUP only sets the flag, and a further SIGINT or
// SIGTERM ends the process or is counted; a terminal that closes may send several
// SIGHUPs. A signal that was ignored before (nohup) stays ignored. One at a
// time in a process; the flag is cleared when it is made. Signals act on the whole process, which
// is why the flag is global.
class InterruptGuard {
 public:
  explicit InterruptGuard(FurtherInterrupts further = FurtherInterrupts::kEndProcess);
  ~InterruptGuard();  // puts the previous handlers back
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

// Whether a signal came since the last InterruptGuard was made. Safe from any thread, and cheap
// (one load).
bool Interrupted();
// The first that came: SIGINT, SIGTERM or SIGHUP; 0 where none did.
int InterruptSignal();
// Whether a further SIGINT or SIGTERM came, where they are counted.
bool InterruptedAgain();

}  // namespace ingot
