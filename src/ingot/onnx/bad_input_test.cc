// Files that are damaged, or meant to do harm: each is refused with a message that says what is
// wrong.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/test_folder.h"
#include "ingot/onnx/test_model.h"

namespace ingot::onnx {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

std::string MessageOf(const std::function<void()>& work, ErrorCode code) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

std::string Refusal(const TestModel& model, ErrorCode code) {
  return MessageOf([&] { model.Import(); }, code);
}

void ImportBytes(const std::string& bytes) {
  auto file = formats::OnnxFile::Parse(formats::CopyBlob(formats::AsBytes(bytes)), "bad.onnx");
  ImportModel(file, TestRegistry());
}

// y = x + w, with w of 300 numbers, so that its bytes stay in the file.
TestModel Sum(int64_t count = 300) {
  TestModel model;
  TestGraph graph = model.graph()
                        .Input("x", DType::kF32, {"n", "300"})
                        .Initializer("w", Tensor(DType::kF32, {count}))
                        .Output("y");
  graph.Node("Add", {"x", "w"}, {"y"});
  return model;
}

class Folder : public TestFolder {
 public:
  std::string File(const std::string& name) const { return *this / name; }
  void Write(const std::string& name, const std::string& bytes) const {
    fs::create_directories(fs::path(File(name)).parent_path());
    std::ofstream(File(name), std::ios::binary) << bytes;
  }
};

TEST(BadModelTest, CutShort) {
  const std::string bytes = Sum().Bytes();
  for (const size_t size : {size_t{0}, size_t{1}, bytes.size() / 2, bytes.size() - 1}) {
    EXPECT_THAT(MessageOf([&] { ImportBytes(bytes.substr(0, size)); }, ErrorCode::kCorrupt),
                HasSubstr("'bad.onnx' is no whole ONNX model"));
  }
  EXPECT_THAT(MessageOf([&] { ImportBytes("this is no model"); }, ErrorCode::kCorrupt),
              HasSubstr("is no whole ONNX model"));
}

TEST(BadModelTest, FlippedBits) {
  const std::string bytes = Sum().Bytes();
  std::mt19937 random(7);
  for (int i = 0; i < 400; ++i) {
    std::string flipped = bytes;
    for (int k = 0; k <= i % 3; ++k) {
      const size_t place = random() % flipped.size();
      flipped[place] = static_cast<char>(flipped[place] ^ (1 << random() % 8));
    }
    try {
      ImportBytes(flipped);
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
    }
  }
}

TEST(BadModelTest, GraphsNestedWithoutEnd) {
  TestModel model;
  TestGraph graph = model.graph().Input("c", DType::kBool).Output("y");
  onnx_proto::NodeProto* node = &graph.Node("If", {"c"}, {"y"});
  for (int depth = 0; depth < 200; ++depth) {
    TestGraph inner = Subgraph(*node, "then_branch").Output("y");
    node = &inner.Node("If", {"c"}, {"y"});
  }
  EXPECT_THAT(Refusal(model, ErrorCode::kCorrupt), HasSubstr("nested more than 100 deep"));
}

TEST(BadModelTest, ShapesThatNoMemoryHolds) {
  TestModel model = Sum();
  auto& w = *model.proto.mutable_graph()->mutable_initializer(0);
  w.set_dims(0, int64_t{1} << 62);
  EXPECT_THAT(Refusal(model, ErrorCode::kCorrupt),
              HasSubstr("tensor 'w' has the shape [4611686018427387904], which no memory holds"));
  w.add_dims(int64_t{1} << 62);
  EXPECT_THAT(Refusal(model, ErrorCode::kCorrupt), HasSubstr("which no memory holds"));
  w.clear_dims();
  w.add_dims(-4);
  EXPECT_THAT(Refusal(model, ErrorCode::kCorrupt), HasSubstr("has the shape [-4]"));
  w.set_dims(0, 1000000);
  EXPECT_THAT(Refusal(model, ErrorCode::kCorrupt),
              HasSubstr("tensor 'w' has 1200 bytes, but f32[1000000] needs 4000000"));
}

TEST(BadModelTest, ExtentsOfInputsBelowZero) {
  TestModel model;
  model.graph().Input("x", DType::kF32, {"-3"}).Output("y").Node("Neg", {"x"}, {"y"});
  EXPECT_THAT(Refusal(model, ErrorCode::kInvalidInput), HasSubstr("input 'x' has an extent of -3"));
}

TEST(BadModelTest, ProductsOfExtentsThatOverflow) {
  TestModel model;
  const std::string huge = std::to_string(int64_t{1} << 40);
  model.graph().Input("x", DType::kF32, {huge, huge}).Output("y").Node("Flatten", {"x"}, {"y"});
  SetInt(*model.proto.mutable_graph()->mutable_node(0), "axis", 0);
  EXPECT_THAT(Refusal(model, ErrorCode::kInvalidInput), HasSubstr("too large"));
}

TEST(BadModelTest, ReshapesThatOverflow) {
  TestModel model;
  TestGraph graph =
      model.graph()
          .Input("x", DType::kF32, {"n"})
          .Initializer("shape", Tensor::Of<int64_t>({2}, {int64_t{1} << 40, int64_t{1} << 40}))
          .Output("y");
  graph.Node("Reshape", {"x", "shape"}, {"y"});
  EXPECT_THAT(Refusal(model, ErrorCode::kInvalidInput),
              HasSubstr("the number of elements is too large"));
}

TEST(BadModelTest, OutputsThatNoMemoryHolds) {
  TestModel model;
  TestGraph graph = model.graph()
                        .Input("x", DType::kF32, {"1"})
                        .Initializer("shape", Tensor::Of<int64_t>({2}, {1 << 24, 1 << 24}))
                        .Output("y");
  graph.Node("Expand", {"x", "shape"}, {"y"});
  EXPECT_THAT(MessageOf(
                  [&] {
                    model.Run({{"x", Tensor(DType::kF32, {1})}});
                  },
                  ErrorCode::kOutOfMemory),
              HasSubstr("Expand node 'the_Expand': cannot allocate 1.0 PiB"));
}

TEST(BadModelTest, TypesThatContradictEachOther) {
  TestModel model;
  model.graph().Input("x", DType::kI64, {"n"}).Output("y").Node("Sigmoid", {"x"}, {"y"});
  EXPECT_THAT(Refusal(model, ErrorCode::kInvalidInput),
              HasSubstr("Sigmoid node 'the_Sigmoid': input 0 (X) is i64[n]"));
  TestModel declared;
  declared.graph().Input("x", DType::kF32, {"n"}).Output("y").Node("Neg", {"x"}, {"y"});
  SetTensorType(*declared.proto.mutable_graph()->mutable_output(0)->mutable_type(), DType::kI32,
                {"n"});
  EXPECT_THAT(Refusal(declared, ErrorCode::kInvalidInput),
              HasSubstr("output 'y' is declared as i32[n], but its value is f32[n]"));
}

TEST(BadModelTest, UnknownElementTypes) {
  TestModel model = Sum();
  model.proto.mutable_graph()->mutable_initializer(0)->set_data_type(99);
  EXPECT_THAT(Refusal(model, ErrorCode::kUnsupported), HasSubstr("element type number 99"));
}

TEST(BadModelTest, AttributesOfAnotherKindOrName) {
  TestModel model;
  TestGraph graph = model.graph().Input("x", DType::kF32, {"n"}).Output("y");
  SetText(graph.Node("Softmax", {"x"}, {"y"}), "axis", "last");
  EXPECT_THAT(Refusal(model, ErrorCode::kInvalidInput), HasSubstr("attribute 'axis' is of kind"));
  TestModel unknown;
  TestGraph other = unknown.graph().Input("x", DType::kF32, {"n"}).Output("y");
  SetInt(other.Node("Softmax", {"x"}, {"y"}), "axes", 1);
  EXPECT_THAT(
      Refusal(unknown, ErrorCode::kInvalidInput),
      testing::AllOf(HasSubstr("unknown attribute 'axes'"), HasSubstr("did you mean 'axis'")));
}

// ---- weights in files of their own ----

TestModel External(const std::string& location, const std::string& offset = "",
                   const std::string& length = "") {
  TestModel model = Sum();
  auto& w = *model.proto.mutable_graph()->mutable_initializer(0);
  w.clear_raw_data();
  w.set_data_location(onnx_proto::TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair<std::string, std::string>("location", location),
                                   {"offset", offset},
                                   {"length", length}}) {
    if (value.empty() && key != "location") continue;
    auto& entry = *w.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  return model;
}

void Load(const Folder& folder, const TestModel& model) {
  folder.Write("m/model.onnx", model.Bytes());
  auto file = formats::OnnxFile::Open(folder.File("m/model.onnx"));
  ImportModel(file, TestRegistry());
}

TEST(ExternalDataTest, IsReadFromTheModelsFolder) {
  const Folder folder;
  std::string bytes(4096 + 1200, '\0');
  const float value = 2.5F;
  std::memcpy(bytes.data() + 4096, &value, 4);
  folder.Write("m/weights/w.bin", bytes);
  folder.Write("m/model.onnx", External("weights/w.bin", "4096", "1200").Bytes());
  auto file = formats::OnnxFile::Open(folder.File("m/model.onnx"));
  const ImportedModel model = ImportModel(file, TestRegistry());
  const Tensor y = ops::Interpret(*model.graph, {{"x", Tensor(DType::kF32, {1, 300})}}).at("y");
  EXPECT_EQ(y.ToDoubles()[0], 2.5);
  EXPECT_EQ(y.ToDoubles()[1], 0);
}

TEST(ExternalDataTest, MissingFilesAndBytesAreNamed) {
  const Folder folder;
  EXPECT_THAT(MessageOf([&] { Load(folder, External("w.bin")); }, ErrorCode::kNotFound),
              testing::AllOf(HasSubstr("tensor 'w' is kept in the file '"), HasSubstr("m/w.bin'")));
  folder.Write("m/w.bin", std::string(1000, '\0'));
  EXPECT_THAT(MessageOf([&] { Load(folder, External("w.bin", "0", "1200")); }, ErrorCode::kCorrupt),
              HasSubstr("needs the bytes 0 to 1200 of 'w.bin', which has 1000"));
  EXPECT_THAT(MessageOf([&] { Load(folder, External("w.bin")); }, ErrorCode::kCorrupt),
              HasSubstr("has 1000 bytes, but f32[300] needs 1200"));
  EXPECT_THAT(MessageOf([&] { Load(folder, External("w.bin", "-8")); }, ErrorCode::kCorrupt),
              HasSubstr("stand at '-8'"));
  EXPECT_THAT(
      MessageOf([&] { Load(folder, External("w.bin", "99999999999999")); }, ErrorCode::kCorrupt),
      HasSubstr("needs the bytes 99999999999999"));
}

TEST(ExternalDataTest, OtherFoldersAreRefused) {
  const Folder folder;
  folder.Write("secret.bin", std::string(1200, '\0'));
  for (const std::string& path : {std::string("../secret.bin"), std::string("a/../../secret.bin"),
                                  folder.File("secret.bin"), std::string()}) {
    EXPECT_THAT(MessageOf([&] { Load(folder, External(path)); }, ErrorCode::kInvalidInput),
                HasSubstr("which is refused"));
  }
  fs::create_directories(folder.File("m"));
  fs::create_symlink(folder.File("secret.bin"), folder.File("m/link.bin"));
  EXPECT_THAT(MessageOf([&] { Load(folder, External("link.bin")); }, ErrorCode::kInvalidInput),
              HasSubstr("it leaves the model's folder by a link"));
  fs::create_directories(folder.File("m/folder"));
  EXPECT_THAT(MessageOf([&] { Load(folder, External("folder")); }, ErrorCode::kInvalidInput),
              HasSubstr("it is no regular file"));
  EXPECT_THAT(Refusal(External("w.bin"), ErrorCode::kInvalidInput),
              HasSubstr("the model was not read from a folder"));
}

// ---- sparse ----

TEST(SparseTensorTest, ZerosAreFilledInWithinReason) {
  TestModel model;
  TestGraph graph = model.graph().Input("x", DType::kF32, {"4"}).Output("y");
  graph.Node("Add", {"x", "s"}, {"y"});
  auto& sparse = *graph.proto().add_sparse_initializer();
  sparse.mutable_values()->set_name("s");
  formats::SetOnnxTensor(Tensor::Of<float>({2}, {5, 6}), *sparse.mutable_values());
  formats::SetOnnxTensor(Tensor::Of<int64_t>({2}, {1, 3}), *sparse.mutable_indices());
  sparse.add_dims(4);
  EXPECT_THAT(model.Run({{"x", Tensor(DType::kF32, {4})}}).ToDoubles(), ElementsAre(0, 5, 0, 6));
  sparse.set_dims(0, 3);
  EXPECT_THAT(Refusal(model, ErrorCode::kCorrupt), HasSubstr("an index outside of [3]"));
  sparse.set_dims(0, int64_t{1} << 40);
  EXPECT_THAT(Refusal(model, ErrorCode::kUnsupported), HasSubstr("would take 4.0 TiB"));
}

}  // namespace
}  // namespace ingot::onnx
