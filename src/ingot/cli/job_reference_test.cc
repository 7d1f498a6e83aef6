// docs/job-file.md is what the program prints.
#include "ingot/cli/job_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/file.h"
#include "ingot/cli/test_program.h"

namespace ingot::cli {
namespace {

using ::testing::HasSubstr;

TEST(JobReferenceTest, TheDocumentIsUpToDate) {
  EXPECT_EQ(ReadFile(INGOT_SOURCE_DIR "/docs/job-file.md"), JobReference(true))
      << "write it again: ingot job --markdown > docs/job-file.md";
}

TEST(JobReferenceTest, NamesEveryKindOfThing) {
  const Outcome outcome = RunProgram({"job"});
  EXPECT_EQ(outcome.status, 0);
  for (const char* key : {"optimizer.adam.learning_rate", "data.batch", "logical_shards",
                          "dense.units", "glorot_uniform", "softmax_cross_entropy", "top_k",
                          "standardise", "csv.label", "early_stopping.patience"}) {
    EXPECT_THAT(outcome.out, HasSubstr(key));
    EXPECT_THAT(RunProgram({"job", "--markdown"}).out, HasSubstr(key));
  }
}

}  // namespace
}  // namespace ingot::cli
