// ONNX files: bytes in and out. A model is read into ONNX's own classes (generated from its
// definition), and its tensors are given as Tensors; what the model means is not looked at here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/formats/bytes.h"
#include "ingot/tensor/tensor.h"

namespace ingot::onnx_proto {
class ModelProto;
class TensorProto;
class SparseTensorProto;
}  // namespace ingot::onnx_proto

namespace ingot::formats {

// Weights are not copied: tensors view the mapped file, or the external file that holds them, and
// keep the mapping alive. Reading tensors is not safe from several threads at once.
class OnnxFile {
 public:
  // Maps and parses a file; external data are looked for in its folder. Throws Error: kNotFound or
  // kIo from the file, kCorrupt where it is no whole ONNX model.
  static OnnxFile Open(const std::string& path);
  // `name` is what messages call it; without a folder external data are refused.
  static OnnxFile Parse(Blob blob, std::string name, std::string folder = "");
  ~OnnxFile();
  OnnxFile(OnnxFile&&) noexcept;
  OnnxFile& operator=(OnnxFile&&) = delete;

  const onnx_proto::ModelProto& model() const { return *model_; }
  const std::string& name() const { return name_; }

  // A tensor of the model. Throws Error: kCorrupt where its bytes do not fit its shape, kNotFound
  // for a missing external file, kInvalidInput for one outside of the model's folder, kUnsupported
  // for an element type that Ingot does not have.
  Tensor TensorOf(const onnx_proto::TensorProto& proto);
  // The same, but large f32 weights are viewed even where they do not stand at multiples of four
  // bytes: for readers that load them accordingly.
  Tensor UnalignedTensorOf(const onnx_proto::TensorProto& proto);
  // A sparse tensor with its zeros; throws as TensorOf does, and kUnsupported where that would be
  // out of all proportion to the file.
  Tensor DenseTensorOf(const onnx_proto::SparseTensorProto& proto);

  // The files that tensors view: the model where it was opened, and its external data as far as
  // they were read.
  std::vector<Blob> mapped_files() const;

 private:
  struct Range {
    size_t offset = 0;
    size_t size = 0;
  };
  OnnxFile() = default;
  Tensor ReadTensor(const onnx_proto::TensorProto& proto, bool may_be_unaligned);
  Tensor ExternalTensor(const onnx_proto::TensorProto& proto, DType dtype, const Shape& shape,
                        bool may_be_unaligned);
  Blob ExternalFile(const std::string& location, const std::string& what);
  Tensor FromPackedBytes(const Blob& blob, Range range, DType dtype, const Shape& shape,
                         const std::string& what, bool may_be_unaligned) const;

  std::string name_;
  std::string folder_;
  Blob blob_;
  bool is_mapped_ = false;  // blob_
  std::unique_ptr<onnx_proto::ModelProto> model_;
  // Where the bytes of initializers stand in the file; they were left out when it was parsed.
  std::map<const onnx_proto::TensorProto*, Range> raw_;
  std::map<std::string, Blob> external_;
};

// The element type with ONNX's number; kUndefined where there is none.
DType OnnxDType(int64_t number);

// Fills in type, extents and bytes. Types of 4 and 2 bits are packed, strings written as such.
void SetOnnxTensor(const Tensor& tensor, onnx_proto::TensorProto& proto);

// The bytes of a file. Throws Error(kUnsupported) above 2 GiB, which the format cannot hold.
std::string EncodeOnnx(const onnx_proto::ModelProto& model);

}  // namespace ingot::formats
