// The sources npy and npz: samples and labels as NumPy arrays, mapped into memory where their
// layout allows.
#include <algorithm>
#include <filesystem>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/data/class_numbers.h"
#include "ingot/data/source_kind.h"
#include "ingot/formats/npy.h"

namespace ingot::data {

namespace {

struct LabelOptions {
  std::string label_type = "auto";  // or "class", "number"
  int64_t classes = 0;
};

template <typename Options>
void AddLabelOptions(OptionTable<Options>& table) {
  table
      .AddChoice("label_type", &LabelOptions::label_type,
                 "class: y holds class numbers; number: regression; auto: class where y holds one "
                 "whole number a sample",
                 {"auto", "class", "number"})
      .Add("classes", &LabelOptions::classes,
           "class numbers are below this (default: as the training data say)",
           Between(0, kMostClasses));
}

struct NpyOptions : LabelOptions {
  std::string train_x;
  std::string train_y;
  std::string test_x;
  std::string test_y;
};

const OptionTable<NpyOptions>& NpyTable() {
  static const auto table = [] {
    OptionTable<NpyOptions> t("npy", "NumPy arrays of samples and labels in a file each");
    t.Add("train_x", &NpyOptions::train_x, "[n, ...]: the training samples")
        .Add("train_y", &NpyOptions::train_y, "[n] or [n, ...]: their labels")
        .Add("test_x", &NpyOptions::test_x, "the test samples (default: none)")
        .Add("test_y", &NpyOptions::test_y, "their labels")
        .Required("train_x")
        .Required("train_y");
    AddLabelOptions(t);
    return t;
  }();
  return table;
}

struct NpzOptions : LabelOptions {
  std::string train;
  std::string test;
  std::string x = "x";
  std::string y = "y";
  std::string test_x;
  std::string test_y;
};

const OptionTable<NpzOptions>& NpzTable() {
  static const auto table = [] {
    OptionTable<NpzOptions> t("npz", "NumPy arrays of samples and labels by name in one file");
    t.Add("train", &NpzOptions::train, "the file of the training data")
        .Add("test", &NpzOptions::test,
             "the file of the test data (default: none, or the same file where test_x is given)")
        .Add("x", &NpzOptions::x, "the samples' name in the file")
        .Add("y", &NpzOptions::y, "the labels' name")
        .Add("test_x", &NpzOptions::test_x, "the test samples' name (default: as x)")
        .Add("test_y", &NpzOptions::test_y, "the test labels' name (default: as y)")
        .Required("train");
    AddLabelOptions(t);
    return t;
  }();
  return table;
}

// One array and what messages call it.
struct Named {
  Tensor tensor;
  std::string name;
};

bool HoldsClasses(const Tensor& y, const LabelOptions& options) {
  if (options.label_type == "number") return false;
  const bool one_each = y.shape().rank() == 1 || (y.shape().rank() == 2 && y.shape()[1] == 1);
  return IsInteger(y.dtype()) && one_each;
}

// `classes` 0: as many as the labels say.
std::shared_ptr<const Source> MakeHalf(const Named& x, Named y, const LabelOptions& options,
                                       int64_t classes) {
  for (const Named* named : {&x, static_cast<const Named*>(&y)}) {
    formats::RequireRealNumbers(named->tensor, named->name);
    if (named->tensor.shape().rank() > 0 && named->tensor.shape()[0] > 0) continue;
    throw Error(ErrorCode::kInvalidInput, named->name + " is " + named->tensor.Describe() +
                                              ", expected a row for each of one or more samples");
  }
  if (x.tensor.shape()[0] != y.tensor.shape()[0]) {
    throw Error(ErrorCode::kInvalidInput, x.name + " holds " + WithThousands(x.tensor.shape()[0]) +
                                              " samples but " + y.name + " holds " +
                                              WithThousands(y.tensor.shape()[0]) + " labels");
  }
  const int64_t n = y.tensor.shape()[0];
  const bool has_classes = HoldsClasses(y.tensor, options);
  if (options.label_type == "class" && !has_classes) {
    throw Error(ErrorCode::kInvalidInput,
                y.name + " is " + y.tensor.Describe() + ", expected one whole number a sample",
                "label_type: number is for regression");
  }
  if (has_classes) {
    y.tensor = y.tensor.Reshape(Shape{n});
  } else {
    if (IsInteger(y.tensor.dtype())) y.tensor = y.tensor.Cast(DType::kF32);
    if (y.tensor.shape().rank() == 1) y.tensor = y.tensor.Reshape(Shape{n, 1});
  }
  const bool are_known = classes > 0;
  const std::vector<int64_t> labels = has_classes ? y.tensor.ToInts() : std::vector<int64_t>{};
  auto source = std::make_shared<MemorySource>(std::vector<std::string>{"x", "y"},
                                               std::vector<Tensor>{x.tensor, y.tensor}, x.name);
  if (has_classes) {
    for (size_t i = 0; i < labels.size() && !are_known; ++i) {
      const auto where = [&] { return y.name + ", label of sample " + std::to_string(i); };
      if (labels[i] >= classes) classes = ClassesUpTo(labels[i], where);
    }
    try {
      source->SetClasses("y", std::max<int64_t>(classes, 1));
    } catch (const Error& error) {
      throw error.In(y.name);
    }
  }
  return source;
}

int64_t ClassesOf(const Source& source) {
  return source.fields()[1].classes;
}

OpenedSource OpenNpy(const NpyOptions& options, const OpenContext& context) {
  const auto read = [&context](const std::string& name) {
    const std::string path = context.Resolve(name);
    return Named{formats::ReadNpy(path), path};
  };
  OpenedSource opened;
  opened.train = MakeHalf(read(options.train_x), read(options.train_y), options, options.classes);
  if (options.test_x.empty() != options.test_y.empty()) {
    throw Error(ErrorCode::kInvalidInput, "test samples and labels need a file each",
                "give test_x with test_y");
  }
  if (!options.test_x.empty()) {
    opened.test =
        MakeHalf(read(options.test_x), read(options.test_y), options, ClassesOf(*opened.train));
  }
  return opened;
}

OpenedSource OpenNpz(const NpzOptions& options, const OpenContext& context) {
  const auto read = [&context](const std::string& file, const std::string& array) {
    const std::string path = context.Resolve(file);
    return Named{formats::NpzFile::Open(path).Get(array), path + ", " + array};
  };
  OpenedSource opened;
  opened.train = MakeHalf(read(options.train, options.x), read(options.train, options.y), options,
                          options.classes);
  std::string test = options.test;
  if (test.empty() && !options.test_x.empty()) test = options.train;
  if (!test.empty()) {
    opened.test = MakeHalf(read(test, options.test_x.empty() ? options.x : options.test_x),
                           read(test, options.test_y.empty() ? options.y : options.test_y), options,
                           ClassesOf(*opened.train));
  }
  return opened;
}

}  // namespace

SourceKind NpySourceKind() {
  return DefineSource(NpyTable(), OpenNpy);
}

SourceKind NpzSourceKind() {
  return DefineSource(NpzTable(), OpenNpz);
}

}  // namespace ingot::data
