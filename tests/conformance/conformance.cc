// ingot_conformance CASES RESULTS [FIRST]: runs a list of models on given inputs and writes what
// comes out. tests/conformance/run.py makes the one file and compares the other.
//
// Both files are lists of records; numbers are little endian.
//   CASES     for each case: text name, text model, u32 data sets, for each: values
//   RESULTS   for each case: u32 index, text error (empty: none), u32 data sets, for each: values
//   text      u64 bytes, the bytes
//   values    u32 count, then each: u8 kind 0 nothing; 1 tensor: u8 element type (ONNX's number),
//             u32 rank, i64 extents, the elements one after another (types of 4 and 2 bits have a
//             byte each, strings are texts); 2 sequence: values
// Results are written case by case, so that after a crash the next run goes on at case FIRST.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "ingot/infer/session.h"

namespace {

using ingot::Datum;
using ingot::DType;
using ingot::Shape;
using ingot::Tensor;

class Reader {
 public:
  explicit Reader(std::vector<char> bytes) : bytes_(std::move(bytes)) {}

  template <typename T>
  T Number() {
    T value;
    std::memcpy(&value, Take(sizeof value), sizeof value);
    return value;
  }
  std::string Text() {
    const auto size = Number<uint64_t>();
    return {Take(size), size};
  }
  const char* Take(size_t size) {
    if (size > bytes_.size() - at_) throw std::runtime_error("the file of cases ends too early");
    at_ += size;
    return bytes_.data() + at_ - size;
  }
  bool done() const { return at_ == bytes_.size(); }

 private:
  std::vector<char> bytes_;
  size_t at_ = 0;
};

Tensor ReadTensor(Reader& in) {
  const auto dtype = static_cast<DType>(in.Number<uint8_t>());
  std::vector<int64_t> dims(in.Number<uint32_t>());
  for (int64_t& dim : dims) dim = in.Number<int64_t>();
  const Shape shape(dims);
  if (dtype == DType::kString) {
    std::vector<std::string> texts;
    for (int64_t i = 0; i < shape.size(); ++i) texts.push_back(in.Text());
    return Tensor::OfStrings(shape, std::move(texts));
  }
  Tensor tensor(dtype, shape);
  if (tensor.bytes() > 0) std::memcpy(tensor.raw(), in.Take(tensor.bytes()), tensor.bytes());
  return tensor;
}

std::vector<Datum> ReadValues(Reader& in) {
  std::vector<Datum> values(in.Number<uint32_t>());
  for (Datum& value : values) {
    const auto kind = in.Number<uint8_t>();
    if (kind == 1) value = ReadTensor(in);
    if (kind == 2) value = Datum::Sequence(ReadValues(in));
  }
  return values;
}

template <typename T>
void Put(std::string& out, T number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void PutText(std::string& out, std::string_view text) {
  Put<uint64_t>(out, text.size());
  out += text;
}

void PutValues(std::string& out, const std::vector<Datum>& values) {
  Put<uint32_t>(out, static_cast<uint32_t>(values.size()));
  for (const Datum& value : values) {
    Put<uint8_t>(out, value.is_tensor() ? 1 : value.is_sequence() ? 2 : 0);
    if (value.is_sequence()) PutValues(out, value.elements());
    if (!value.is_tensor()) continue;
    const Tensor& tensor = value.tensor();
    Put(out, static_cast<uint8_t>(tensor.dtype()));
    Put<uint32_t>(out, static_cast<uint32_t>(tensor.shape().rank()));
    for (const int64_t dim : tensor.shape().dims()) Put(out, dim);
    if (tensor.dtype() == DType::kString) {
      for (const std::string& text : tensor.ToStrings()) PutText(out, text);
    } else {
      out.append(reinterpret_cast<const char*>(tensor.raw()), tensor.bytes());
    }
  }
}

// The outputs of each data set, or what went wrong.
std::string RunCase(uint32_t index, const std::string& model,
                    const std::vector<std::vector<Datum>>& sets) {
  std::string error;
  std::vector<std::vector<Datum>> outputs;
  try {
    ingot::infer::SessionOptions options;
    options.threads = 1;
    const auto session = ingot::infer::Session::FromBytes(
        {reinterpret_cast<const std::byte*>(model.data()), model.size()}, "", options);
    for (const std::vector<Datum>& inputs : sets) outputs.push_back(session->RunValues(inputs));
  } catch (const std::exception& failure) {
    error = failure.what();
    if (error.empty()) error = "failed";
    outputs.clear();
  }
  std::string record;
  Put(record, index);
  PutText(record, error);
  Put<uint32_t>(record, static_cast<uint32_t>(outputs.size()));
  for (const std::vector<Datum>& values : outputs) PutValues(record, values);
  return record;
}

void Run(const char* cases, const char* results, uint32_t first) {
  std::ifstream file(cases, std::ios::binary);
  if (!file) throw std::runtime_error(std::string("cannot read ") + cases);
  Reader in({std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
  std::ofstream out(results, std::ios::binary | (first == 0 ? std::ios::trunc : std::ios::app));
  for (uint32_t index = 0; !in.done(); ++index) {
    in.Text();  // the name is for people who look into the file
    const std::string model = in.Text();
    std::vector<std::vector<Datum>> sets(in.Number<uint32_t>());
    for (std::vector<Datum>& inputs : sets) inputs = ReadValues(in);
    if (index >= first) out << RunCase(index, model, sets) << std::flush;
  }
  if (!out) throw std::runtime_error(std::string("cannot write ") + results);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: ingot_conformance CASES RESULTS [FIRST]\n", stderr);
    return 2;
  }
  try {
    Run(argv[1], argv[2], argc > 3 ? static_cast<uint32_t>(std::stoul(argv[3])) : 0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
