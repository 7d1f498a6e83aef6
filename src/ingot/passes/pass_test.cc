// Tests of the pass runner: names, switching off, dumps, verification.
#include "ingot/passes/pass.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/eliminate_dead_code.h"

namespace ingot::passes {
namespace {

using ::testing::HasSubstr;

class PassTest : public ::testing::Test {
 protected:
  PassTest() {
    graph_.AddOutput(builder_.Neg(x_), "y");
    builder_.Neg(x_);  // dead
  }

  static std::string FailureOf(std::vector<std::string> disabled) {
    try {
      PassRunner runner({.disabled = std::move(disabled)});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      return error.message() + " | " + error.hint();
    }
    return "";
  }

  static std::string Read(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  const ir::OpRegistry registry_ = ops::StandardOps();
  ir::Graph graph_{"my net"};
  ir::Builder builder_{graph_, registry_};
  ir::Value* x_ = graph_.AddInput("x", ir::Type::Tensor(DType::kF32, Shape{2}));
};

TEST_F(PassTest, NamesAndTimesPasses) {
  PassRunner runner;
  EXPECT_TRUE(runner.Run("eliminate_dead_code", graph_, EliminateDeadCode));
  ASSERT_EQ(runner.Timings().size(), 1u);
  const PassTiming& timing = runner.Timings()[0];
  EXPECT_EQ(timing.name, "eliminate_dead_code");
  EXPECT_EQ(timing.nodes_before, 2u);
  EXPECT_EQ(timing.nodes_after, 1u);
  EXPECT_GE(timing.seconds, 0);
  EXPECT_FALSE(timing.skipped);
}

TEST_F(PassTest, DisabledPassesAreNotRun) {
  PassRunner runner({.disabled = {"eliminate_dead_code"}});
  EXPECT_FALSE(runner.Run("eliminate_dead_code", graph_, EliminateDeadCode));
  EXPECT_EQ(graph_.node_count(), 2u);
  EXPECT_TRUE(runner.Timings().at(0).skipped);
  EXPECT_TRUE(runner.Run("my_own_pass", graph_, EliminateDeadCode));
  EXPECT_EQ(graph_.node_count(), 1u);
}

TEST_F(PassTest, WrongNamesSuggestTheNearest) {
  EXPECT_EQ(FailureOf({"fuse_elementwise", "fold_constants"}), "");
  EXPECT_EQ(FailureOf({"fuse_elementwse"}),
            "there is no pass 'fuse_elementwse' to switch off | did you mean 'fuse_elementwise'?");
  EXPECT_THAT(FailureOf({"autodiff"}),
              HasSubstr("pass 'autodiff' cannot be switched off | these can: canonicalize, "));
  EXPECT_THAT(FailureOf({"x"}), HasSubstr("expected one of: canonicalize, "));
}

TEST_F(PassTest, EveryPassIsListedWithASummary) {
  EXPECT_GE(AllPasses().size(), 11u);
  for (const PassInfo& pass : AllPasses()) EXPECT_FALSE(pass.summary.empty()) << pass.name;
}

TEST_F(PassTest, DumpsTheGraphBeforeAndAfter) {
  const std::filesystem::path directory =
      std::filesystem::path(::testing::TempDir()) / "ingot_pass_test" / "dump";
  std::filesystem::remove_all(directory);
  PassRunner runner({.dump_directory = directory.string()});
  runner.Run("merge_common_subexpressions", graph_, [](ir::Graph&) {});
  runner.Run("eliminate_dead_code", graph_, EliminateDeadCode);
  const std::string before = Read(directory / "001.my-net.eliminate_dead_code.before.txt");
  const std::string after = Read(directory / "001.my-net.eliminate_dead_code.after.txt");
  EXPECT_THAT(before, HasSubstr("%2: f32[2] = Neg(%x)"));
  EXPECT_THAT(after, ::testing::Not(HasSubstr("%2: f32[2] = Neg(%x)")));
  EXPECT_THAT(after, HasSubstr("output y = %1"));
  EXPECT_TRUE(
      std::filesystem::exists(directory / "000.my-net.merge_common_subexpressions.after.txt"));
  std::filesystem::remove_all(directory);
}

TEST_F(PassTest, ADumpThatCannotBeWrittenIsAnError) {
  const std::filesystem::path file = std::filesystem::path(::testing::TempDir()) / "ingot_a_file";
  std::ofstream(file) << "not a folder";
  PassRunner runner({.dump_directory = file.string()});
  try {
    runner.Run("eliminate_dead_code", graph_, EliminateDeadCode);
    FAIL() << "the dump directory is a file";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.message(), HasSubstr("000.my-net.eliminate_dead_code.before.txt"));
  }
  std::filesystem::remove(file);
}

TEST_F(PassTest, ABrokenGraphNamesThePass) {
  const auto damage = [](ir::Graph& graph) {
    graph.nodes()[0]->output()->set_type(ir::Type::Tensor(DType::kF64, Shape{2}));
  };
  PassRunner runner;
  try {
    runner.Run("canonicalize", graph_, damage);
    FAIL() << "the graph is broken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_THAT(error.message(), HasSubstr("after pass 'canonicalize': graph 'my net' is broken"));
  }
  PassRunner careless({.verify = false});
  EXPECT_NO_THROW(careless.Run("canonicalize", graph_, damage));
}

}  // namespace
}  // namespace ingot::passes
