// Watchers: who is called, where, and for how long.
#include "ingot/serve/watchers.h"

#include <gtest/gtest.h>

#include "ingot/serve/scheduling_fixture.h"

namespace ingot::serve {
namespace {

TEST(WatchersTest, AreCalledOnTheirExecutorWhileTheyAreHeld) {
  FakeLoop loop;
  Watchers watchers;
  int calls = 0;
  auto function = std::make_shared<const Watchers::Function>([&] { ++calls; });
  watchers.Add(loop, function);
  watchers.Notify();
  EXPECT_EQ(calls, 0);
  loop.Turn();
  EXPECT_EQ(calls, 1);
  watchers.Notify();
  function.reset();  // gone before its turn
  loop.Turn();
  EXPECT_EQ(calls, 1);
}

TEST(WatchersTest, ThoseThatAreGoneAreForgotten) {
  FakeLoop loop;
  Watchers watchers;
  for (int i = 0; i < 1000; ++i) {
    watchers.Add(loop, std::make_shared<const Watchers::Function>([] {}));
    EXPECT_EQ(watchers.size(), 1u);
  }
  watchers.Notify();
  EXPECT_EQ(watchers.size(), 0u);
}

class ChangesTest : public SchedulingTest {};

TEST_F(ChangesTest, TheRepositoryTellsOfModelsThatComeAndGo) {
  AddModel("m", "");
  AddModel("broken", "");
  Repository& repository = Make();
  EXPECT_TRUE(repository.Load("m").ok());
  EXPECT_EQ(changes_, 1);
  EXPECT_FALSE(repository.Load("broken").ok());
  EXPECT_EQ(changes_, 2);
  EXPECT_TRUE(repository.Unload("m").ok());
  EXPECT_EQ(changes_, 3);
}

}  // namespace
}  // namespace ingot::serve
