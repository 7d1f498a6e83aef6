// The first signal is noted, the second ends the process; or the first does, outside of a guard.
#include "ingot/base/interrupt.h"

#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>
#include <signal.h>

namespace ingot {
namespace {

TEST(InterruptTest, TheFirstSignalSetsTheFlag) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const InterruptGuard guard;
    EXPECT_FALSE(Interrupted());
    ::raise(signal);
    EXPECT_TRUE(Interrupted());
    EXPECT_EQ(InterruptSignal(), signal);
  }
  const InterruptGuard guard;
  EXPECT_FALSE(Interrupted());
}

TEST(InterruptTest, ATerminalThatClosesMaySaySoTwice) {
  const InterruptGuard guard;
  ::raise(SIGHUP);
  ::raise(SIGHUP);
  EXPECT_EQ(InterruptSignal(), SIGHUP);
}

TEST(InterruptDeathTest, TheSecondSignalEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const InterruptGuard guard;
        ::raise(SIGINT);
        ::raise(SIGTERM);
      },
      testing::ExitedWithCode(130), "");
}

TEST(InterruptDeathTest, HandlersArePutBack) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        { const InterruptGuard guard; }
        ::signal(SIGTERM, SIG_DFL);
        ::raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
  struct sigaction before;
  struct sigaction after;
  ::sigaction(SIGINT, nullptr, &before);
  { const InterruptGuard guard; }
  ::sigaction(SIGINT, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

TEST(InterruptDeathTest, OutsideOfAGuardTheFirstEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    EXPECT_EXIT(
        {
          ::signal(SIGHUP, SIG_DFL);
          EndOnInterrupt();
          {
            const InterruptGuard guard;
            ::raise(signal);
          }
          std::fprintf(stderr, "noted, then ");
          ::raise(signal);
        },
        testing::ExitedWithCode(130), "^noted, then interrupted\n$");
  }
}

TEST(InterruptDeathTest, IgnoredSignalsEndNothing) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::signal(SIGHUP, SIG_IGN);
        EndOnInterrupt();
        ::raise(SIGHUP);
        std::_Exit(7);
      },
      testing::ExitedWithCode(7), "");
}

TEST(InterruptTest, FurtherSignalsMayBeCounted) {
  const InterruptGuard guard(FurtherInterrupts::kAreCounted);
  ::raise(SIGHUP);
  ::raise(SIGHUP);  // as a terminal does that closes
  EXPECT_TRUE(Interrupted());
  EXPECT_FALSE(InterruptedAgain());
  ::raise(SIGTERM);
  EXPECT_TRUE(InterruptedAgain());
  EXPECT_EQ(InterruptSignal(), SIGHUP);
}

TEST(InterruptTest, IgnoredSignalsStayIgnored) {
  struct sigaction before;
  ::sigaction(SIGINT, nullptr, &before);
  ::signal(SIGINT, SIG_IGN);
  {
    const InterruptGuard guard;
    ::raise(SIGINT);
    EXPECT_FALSE(Interrupted());
  }
  ::sigaction(SIGINT, &before, nullptr);
}

}  // namespace
}  // namespace ingot
