// Errors: message, hint, context, exit status.
#include "ingot/base/error.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(ErrorTest, CarriesMessageAndHint) {
  const Error error(ErrorCode::kInvalidInput, "batch is 0, expected at least 1", "set data.batch");
  EXPECT_STREQ(error.what(), "batch is 0, expected at least 1\n  hint: set data.batch");
  const Error inner = error.In("mnist.yaml");
  EXPECT_EQ(inner.message(), "mnist.yaml: batch is 0, expected at least 1");
  EXPECT_EQ(inner.hint(), "set data.batch");
  EXPECT_EQ(inner.code(), ErrorCode::kInvalidInput);
  EXPECT_STREQ(Error(ErrorCode::kIo, "disk").what(), "disk");
}

TEST(ErrorTest, CodesDecideTheExitStatus) {
  EXPECT_EQ(ExitStatus(ErrorCode::kInvalidInput), 2);
  EXPECT_EQ(ExitStatus(ErrorCode::kNotFound), 2);
  EXPECT_EQ(ExitStatus(ErrorCode::kCorrupt), 2);
  EXPECT_EQ(ExitStatus(ErrorCode::kUnsupported), 2);
  EXPECT_EQ(ExitStatus(ErrorCode::kIo), 1);
  EXPECT_EQ(ExitStatus(ErrorCode::kOutOfMemory), 1);
  EXPECT_EQ(ExitStatus(ErrorCode::kNumeric), 1);
  EXPECT_EQ(ExitStatus(ErrorCode::kInternal), 1);
  EXPECT_EQ(ExitStatus(ErrorCode::kInterrupted), 130);
  EXPECT_EQ(ErrorCodeName(ErrorCode::kCorrupt), "corrupt");
}

TEST(ErrorDeathTest, FailedAssertionsNameTheCondition) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const int shards = 0;
  EXPECT_DEATH(INGOT_ASSERT(shards > 0, "no shards"),
               "error_test.cc:[0-9]+: assertion failed: shards > 0: no shards");
}

}  // namespace
}  // namespace ingot
