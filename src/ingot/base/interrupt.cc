// Signal handlers that set a flag the first time and end the process the second (or set another
// flag), or end it at once.
#include "ingot/base/interrupt.h"

#include <array>
#include <atomic>

#include <signal.h>
#include <unistd.h>

#include "ingot/base/error.h"

namespace ingot {
namespace {

constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};

// A signal handler reaches nothing but lock-free globals.
std::atomic<int> received_signal{0};
std::atomic<bool> received_again{false};
std::atomic<bool> has_guard{false};
std::array<struct sigaction, kSignals.size()> previous_actions;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

constexpr int kInterruptedStatus = 130;

// Whether a signal is one more; that of a closed terminal is none.
bool ComesAgain(int signal) {
  int none = 0;
  return !received_signal.compare_exchange_strong(none, signal) && signal != SIGHUP;
}

void EndAtSecond(int signal) {
  if (ComesAgain(signal)) ::_exit(kInterruptedStatus);
}

void CountSecond(int signal) {
  if (ComesAgain(signal)) received_again = true;
}

void EndProcess(int /*signal*/) {
  constexpr char kText[] = "interrupted\n";
  // Where nobody reads it any more, the end is no less an end.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText, sizeof(kText) - 1);
  ::_exit(kInterruptedStatus);
}

void Install(void (*handler)(int), int signal) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // no system call of the step fails because of it
  sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void EndOnInterrupt() {
  for (const int signal : kSignals) {
    struct sigaction before = {};
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) Install(&EndProcess, signal);
  }
}

InterruptGuard::InterruptGuard(FurtherInterrupts further) {
  const bool is_second = has_guard.exchange(true);
  INGOT_ASSERT(!is_second, "two InterruptGuards at a time");
  received_signal = 0;
  received_again = false;
  const auto handler = further == FurtherInterrupts::kAreCounted ? &CountSecond : &EndAtSecond;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &previous_actions[i]);
    if (previous_actions[i].sa_handler != SIG_IGN) Install(handler, kSignals[i]);
  }
}

InterruptGuard::~InterruptGuard() {
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &previous_actions[i], nullptr);
  }
  has_guard = false;
}

bool Interrupted() {
  return InterruptSignal() != 0;
}
int InterruptSignal() {
  return received_signal.load(std::memory_order_relaxed);
}
bool InterruptedAgain() {
  return received_again.load(std::memory_order_relaxed);
}

}  // namespace ingot
