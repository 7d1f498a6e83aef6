// Ensembles: their steps, and whether they are ready.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/serve/scheduling_fixture.h"

namespace ingot::serve {
namespace {

using ::testing::HasSubstr;

class EnsembleTest : public SchedulingTest {
 protected:
  // An ensemble of these models, one behind the other.
  void AddEnsemble(const std::string& name, const std::vector<std::string>& models) {
    std::string config =
        "platform: 'ensemble' max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: 2 } "
        "output { name: 'y' data_type: TYPE_FP32 dims: 2 } ensemble_scheduling { ";
    for (size_t i = 0; i < models.size(); ++i) {
      const std::string in = i == 0 ? "x" : "t" + std::to_string(i);
      const std::string out = i + 1 == models.size() ? "y" : "t" + std::to_string(i + 1);
      config += "step { model_name: '" + models[i] + "' input_map { key: 'x' value: '" + in +
                "' } output_map { key: 'y' value: '" + out + "' } } ";
    }
    AddModel(name, config + "}");
  }

  IndexEntry EntryOf(const std::string& name) {
    for (const IndexEntry& entry : repository_->Index(false)) {
      if (entry.name == name) return entry;
    }
    return {};
  }
};

TEST_F(EnsembleTest, ThoseThatAreStepsOfEachOtherAreRefused) {
  AddModel("m", "");
  AddEnsemble("own", {"own"});
  AddEnsemble("a", {"b"});
  AddEnsemble("b", {"c"});
  AddEnsemble("c", {"a"});
  AddEnsemble("user", {"d"});
  AddEnsemble("d", {"m"});
  Repository& repository = Make();
  repository.LoadAll();
  EXPECT_THAT(repository.Load("own").message, HasSubstr("is a step of itself: own -> own"));
  EXPECT_THAT(repository.Load("c").message, HasSubstr("is a step of itself: c -> a -> b -> c"));
  EXPECT_FALSE(Failure(*Start("a", {1, 2})).ok());
  EXPECT_EQ(Result(*Start("user", {1, 2})), (std::vector<float>{2, 4}));
}

TEST_F(EnsembleTest, RunsItsSteps) {
  AddModel("m", "");
  AddEnsemble("twice", {"m", "m"});
  Make().LoadAll();
  EXPECT_EQ(Result(*Start("twice", {1, 2})), (std::vector<float>{4, 8}));
}

TEST_F(EnsembleTest, CancelledRequestsLeaveTheQueuesOfTheirSteps) {
  AddModel("m", "max_batch_size: 4 instance_group { count: 1 }");
  AddEnsemble("inner", {"m", "m"});
  AddEnsemble("outer", {"inner"});
  Make().LoadAll();
  control_.Set(false);
  const auto busy = Start("m", {7, 0});
  WaitForBatches(1);
  const auto cancelled = Start("outer", {1, 2});
  cancelled->cancelled.store(true);
  control_.Set(true);
  EXPECT_EQ(Failure(*cancelled).code, StatusCode::kCancelled);
  EXPECT_EQ(Result(*busy)[0], 14);
  EXPECT_EQ(control_.order, (std::vector<float>{7}));
}

TEST_F(EnsembleTest, CancelledRequestsBeginNoFurtherStep) {
  AddModel("m", "");
  AddEnsemble("twice", {"m", "m"});
  Make().LoadAll();
  control_.Set(false);
  const auto cancelled = Start("twice", {1, 2});
  WaitForBatches(1);
  cancelled->cancelled.store(true);
  control_.Set(true);
  EXPECT_EQ(Failure(*cancelled).code, StatusCode::kCancelled);
  EXPECT_EQ(control_.order, (std::vector<float>{1}));
}

TEST_F(EnsembleTest, IsReadyWhileTheModelsOfItsStepsAre) {
  AddModel("m", "");
  AddModel("n", "");
  AddEnsemble("inner", {"n"});
  AddEnsemble("outer", {"m", "inner"});
  Repository& repository = Make();
  repository.LoadAll();
  EXPECT_TRUE(repository.AllReady());
  EXPECT_TRUE(repository.Ready("outer", "1"));
  EXPECT_FALSE(repository.Ready("outer", "2"));
  EXPECT_EQ(EntryOf("outer").state, "READY");

  ASSERT_TRUE(repository.Unload("n").ok());
  EXPECT_FALSE(repository.AllReady());
  EXPECT_TRUE(repository.Ready("m", ""));
  for (const char* name : {"inner", "outer"}) {
    EXPECT_FALSE(repository.Ready(name, "")) << name;
    EXPECT_EQ(EntryOf(name).state, "UNAVAILABLE") << name;
    EXPECT_THAT(EntryOf(name).reason, HasSubstr("(model 'n') is not ready: unloaded")) << name;
  }
  EXPECT_EQ(repository.Index(true).size(), 1u);  // m
  const Status status = Failure(*Start("outer", {1, 2}));
  EXPECT_EQ(status.code, StatusCode::kUnavailable);
  EXPECT_EQ(status.message,
            "ensemble 'outer' is not ready: step 1 (model 'inner') is not ready: step 0 (model "
            "'n') is not ready: unloaded");
  EXPECT_TRUE(control_.batches.empty());  // no step was computed for nothing

  ASSERT_TRUE(repository.Load("n").ok());
  EXPECT_TRUE(repository.AllReady());
  EXPECT_EQ(Result(*Start("outer", {1, 2})), (std::vector<float>{4, 8}));
}

TEST_F(EnsembleTest, NamesModelsThatWereNeverThere) {
  AddEnsemble("lonely", {"nothing"});
  Make().LoadAll();
  EXPECT_FALSE(repository_->Ready("lonely", ""));
  EXPECT_THAT(EntryOf("lonely").reason,
              HasSubstr("step 0 (model 'nothing') is not ready: it is not known"));
}

}  // namespace
}  // namespace ingot::serve
