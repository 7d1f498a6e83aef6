// The C interface from C++: statuses, messages, sizes of structs, training.
#include <cmath>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ingot/c_api.h>

namespace {

using ::testing::HasSubstr;

constexpr char kJob[] =
    "data: {source: {synthetic: {shape: [8], classes: 3, samples: 64}}, batch: 16}\n"
    "model: {layers: [{dense: {units: 16, activation: relu}}, {dense: 3}]}\n"
    "loss: softmax_cross_entropy\n"
    "optimizer: {adam: {learning_rate: 0.01}}\n"
    "epochs: 20\n";

TEST(CApi, SaysItsVersion) {
  EXPECT_EQ(ingot_c_api_version(), INGOT_C_API_VERSION);
  EXPECT_THAT(ingot_version(), HasSubstr("."));
}

TEST(CApi, AnErrorIsAStatusAndAMessageOfTheThread) {
  ingot_session* session = nullptr;
  EXPECT_EQ(ingot_session_load("/nowhere/model.onnx", nullptr, &session), INGOT_WRONG_INPUT);
  EXPECT_EQ(session, nullptr);
  EXPECT_THAT(ingot_last_error(), HasSubstr("/nowhere/model.onnx"));
  std::thread([] { EXPECT_STREQ(ingot_last_error(), ""); }).join();
}

TEST(CApi, MissingPointersAreErrors) {
  EXPECT_EQ(ingot_session_load(nullptr, nullptr, nullptr), INGOT_WRONG_INPUT);
  EXPECT_THAT(ingot_last_error(), HasSubstr("path is NULL"));
  EXPECT_EQ(ingot_session_run(nullptr, nullptr, 0, nullptr), INGOT_WRONG_INPUT);
  EXPECT_EQ(ingot_session_input_count(nullptr), 0U);
  EXPECT_EQ(ingot_session_input_name(nullptr, 0), nullptr);
  ingot_session_free(nullptr);
  ingot_outputs_free(nullptr);
  ingot_trainer_free(nullptr);
}

TEST(CApi, StructsWithoutTheirSizeAreRefused) {
  ingot_session_options options{};
  ingot_session* session = nullptr;
  EXPECT_EQ(ingot_session_load("model.onnx", &options, &session), INGOT_WRONG_INPUT);
  EXPECT_THAT(ingot_last_error(), HasSubstr("struct_size"));
}

TEST(CApi, TensorsThatCannotBeAreRefused) {
  const std::string path = INGOT_SOURCE_DIR "/tests/data/models/conv_bn_se.dynamo.onnx";
  ingot_session* session = nullptr;
  ASSERT_EQ(ingot_session_load(path.c_str(), nullptr, &session), INGOT_OK) << ingot_last_error();
  const int64_t huge[] = {int64_t{1} << 61, 2};
  ingot_tensor input{};
  input.struct_size = sizeof(input);
  input.dtype = INGOT_F32;
  input.rank = 2;
  input.dims = huge;  // their bytes are 0 modulo 2^64
  ingot_outputs* outputs = nullptr;
  EXPECT_EQ(ingot_session_run(session, &input, 1, &outputs), INGOT_WRONG_INPUT);
  EXPECT_THAT(ingot_last_error(), HasSubstr("is too large"));
  const int64_t one[] = {1};
  float value = 1;
  input.dtype = 8;  // a string inside, none outside
  input.rank = 1;
  input.dims = one;
  input.data = &value;
  input.data_size = sizeof(value);
  EXPECT_EQ(ingot_session_run(session, &input, 1, &outputs), INGOT_WRONG_INPUT);
  EXPECT_THAT(ingot_last_error(), HasSubstr("element type 8"));
  ingot_session_free(session);
}

TEST(CApi, TrainsStepByStep) {
  ingot_trainer_options options{sizeof(options), 1};
  ingot_trainer* trainer = nullptr;
  ASSERT_EQ(ingot_trainer_create(kJob, &options, &trainer), INGOT_OK) << ingot_last_error();
  EXPECT_EQ(ingot_trainer_total_steps(trainer), 80);
  double first = 0, last = 0;
  ASSERT_EQ(ingot_trainer_step(trainer, 4, &first), INGOT_OK) << ingot_last_error();
  EXPECT_EQ(ingot_trainer_step_count(trainer), 4);
  ASSERT_EQ(ingot_trainer_step(trainer, 72, nullptr), INGOT_OK);
  ASSERT_EQ(ingot_trainer_step(trainer, 100, &last), INGOT_OK);
  EXPECT_EQ(ingot_trainer_step_count(trainer), 80);
  EXPECT_LT(last, first);
  ASSERT_EQ(ingot_trainer_step(trainer, 1, &last), INGOT_OK);
  EXPECT_TRUE(std::isnan(last));

  ASSERT_EQ(ingot_trainer_parameter_count(trainer), 4U);
  EXPECT_EQ(ingot_trainer_parameter_name(trainer, 4), nullptr);
  ingot_tensor parameter{};
  EXPECT_EQ(ingot_trainer_parameter(trainer, 0, &parameter), INGOT_WRONG_INPUT);
  parameter.struct_size = sizeof(parameter);
  ASSERT_EQ(ingot_trainer_parameter(trainer, 0, &parameter), INGOT_OK) << ingot_last_error();
  EXPECT_EQ(parameter.dtype, INGOT_F32);
  ASSERT_EQ(parameter.rank, 2);
  EXPECT_EQ(parameter.data_size, static_cast<size_t>(parameter.dims[0] * parameter.dims[1]) * 4);
  ingot_trainer_free(trainer);
}

TEST(CApi, AWrongJobIsNamedByItsPlace) {
  ingot_trainer* trainer = nullptr;
  EXPECT_EQ(ingot_trainer_create("epoch: 3\n", nullptr, &trainer), INGOT_WRONG_INPUT);
  EXPECT_THAT(ingot_last_error(), HasSubstr("job:1"));
}

}  // namespace
