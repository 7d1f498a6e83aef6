// Which numbers the dynamic dimensions of made-up inputs get.
#include "ingot/infer/benchmark.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::infer {
namespace {

using testing::ElementsAre;

PortInfo Port(std::string name, std::vector<int64_t> dims, std::vector<std::string> symbols) {
  PortInfo port;
  port.name = std::move(name);
  port.dtype = DType::kF32;
  port.dims = std::move(dims);
  port.symbols = std::move(symbols);
  return port;
}

TEST(BenchInputs, TheBatchIsTheSameWhereverItsNameStands) {
  // Steps first, as recurrent models have it, and a length for each sequence.
  const std::vector<PortInfo> ports = {Port("x", {-1, -1, 8}, {"t", "b", ""}),
                                       Port("lengths", {-1}, {"b"})};
  BenchDimensions dimensions;
  dimensions.batch = 3;
  dimensions.symbols = {{"t", 5}};
  const std::vector<Tensor> inputs = MakeBenchInputs(ports, dimensions);
  EXPECT_THAT(inputs[0].shape().dims(), ElementsAre(5, 3, 8));
  EXPECT_THAT(inputs[1].shape().dims(), ElementsAre(3));
}

TEST(BenchInputs, OtherDimensionsAreOfUsualLength) {
  const std::vector<Tensor> inputs = MakeBenchInputs(
      {Port("ids", {-1, -1}, {"batch", "sequence"}), Port("past", {-1, -1}, {"", ""})},
      BenchDimensions());
  EXPECT_THAT(inputs[0].shape().dims(), ElementsAre(1, 128));
  EXPECT_THAT(inputs[1].shape().dims(), ElementsAre(1, 128));
}

TEST(BenchInputs, AFixedBatchIsNamed) {
  BenchDimensions dimensions;
  dimensions.batch = 2;
  EXPECT_THROW(MakeBenchInputs({Port("x", {1, 4}, {"", ""})}, dimensions), Error);
}

}  // namespace
}  // namespace ingot::infer
