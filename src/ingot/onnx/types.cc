// ONNX's types and attributes as those of the graph.
#include "ingot/onnx/types.h"

#include "onnx_proto/onnx_model.pb.h"

#include "ingot/base/error.h"

namespace ingot::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::TypeProto;

DType ElementType(int number, const std::string& what) {
  const DType dtype = formats::OnnxDType(number);
  if (dtype != DType::kUndefined) return dtype;
  throw Error(ErrorCode::kUnsupported, what + " has the element type number " +
                                           std::to_string(number) + ", which Ingot does not have");
}

ir::Type TensorType(const TypeProto::Tensor& tensor, const std::string& what) {
  if (tensor.elem_type() == 0) return {};
  const DType dtype = ElementType(tensor.elem_type(), what);
  if (!tensor.has_shape()) return ir::Type::TensorOfUnknownRank(dtype);
  ir::Dimensions dims;
  for (const auto& dim : tensor.shape().dim()) {
    if (dim.has_dim_value()) {
      if (dim.dim_value() < 0) {
        throw Error(ErrorCode::kInvalidInput,
                    what + " has an extent of " + std::to_string(dim.dim_value()));
      }
      dims.emplace_back(dim.dim_value());
    } else if (!dim.dim_param().empty()) {
      dims.emplace_back(dim.dim_param());
    } else {
      dims.emplace_back();
    }
  }
  return ir::Type::Tensor(dtype, std::move(dims));
}

// Before IR version 2 (and in files of some exporters) the kind is what is there.
AttributeProto::AttributeType KindOf(const AttributeProto& proto) {
  if (proto.type() != AttributeProto::UNDEFINED) return proto.type();
  if (proto.has_f()) return AttributeProto::FLOAT;
  if (proto.has_i()) return AttributeProto::INT;
  if (proto.has_s()) return AttributeProto::STRING;
  if (proto.has_t()) return AttributeProto::TENSOR;
  if (proto.has_g()) return AttributeProto::GRAPH;
  if (proto.has_sparse_tensor()) return AttributeProto::SPARSE_TENSOR;
  if (proto.has_tp()) return AttributeProto::TYPE_PROTO;
  if (proto.floats_size() > 0) return AttributeProto::FLOATS;
  if (proto.strings_size() > 0) return AttributeProto::STRINGS;
  return AttributeProto::INTS;
}

}  // namespace

ir::Type TypeOf(const TypeProto& proto, const std::string& what) {
  switch (proto.value_case()) {
    case TypeProto::kTensorType:
      return TensorType(proto.tensor_type(), what);
    case TypeProto::kSequenceType:
      return ir::Type::Sequence(TypeOf(proto.sequence_type().elem_type(), what));
    case TypeProto::kOptionalType:
      return ir::Type::Optional(TypeOf(proto.optional_type().elem_type(), what));
    case TypeProto::VALUE_NOT_SET:
      return {};
    default:
      throw Error(ErrorCode::kUnsupported,
                  what + " is a map, a sparse tensor or opaque, which Ingot does not have");
  }
}

ir::Type JoinTypes(const ir::Type& a, const ir::Type& b, const std::string& what) {
  using Kind = ir::Type::Kind;
  if (a.kind() == Kind::kUnknown) return b;
  if (b.kind() == Kind::kUnknown) return a;
  if (a.kind() != b.kind() || a.dtype() != b.dtype()) {
    // An optional stands for its element.
    if (b.kind() == Kind::kOptional) return JoinTypes(a, b.element(), what);
    if (a.kind() == Kind::kOptional) return JoinTypes(a.element(), b, what);
    throw Error(ErrorCode::kInvalidInput,
                what + " is declared as " + b.ToString() + ", but its value is " + a.ToString());
  }
  if (a.kind() == Kind::kSequence)
    return ir::Type::Sequence(JoinTypes(a.element(), b.element(), what));
  if (a.kind() == Kind::kOptional)
    return ir::Type::Optional(JoinTypes(a.element(), b.element(), what));
  if (!a.has_rank()) return b;
  if (!b.has_rank() || a.rank() != b.rank()) return a;
  ir::Dimensions dims = a.dims();
  for (size_t i = 0; i < dims.size(); ++i) {
    if (!dims[i].is_static() && !dims[i].is_symbolic()) dims[i] = b.dims()[i];
  }
  return a.WithDims(std::move(dims));
}

bool IsGraph(const AttributeProto& proto) {
  return KindOf(proto) == AttributeProto::GRAPH;
}

ir::Attribute AttributeOf(const AttributeProto& proto, formats::OnnxFile& file) {
  switch (KindOf(proto)) {
    case AttributeProto::FLOAT:
      return static_cast<double>(proto.f());
    case AttributeProto::INT:
      return static_cast<int64_t>(proto.i());
    case AttributeProto::STRING:
      return proto.s();
    case AttributeProto::FLOATS:
      return std::vector<double>(proto.floats().begin(), proto.floats().end());
    case AttributeProto::INTS:
      return std::vector<int64_t>(proto.ints().begin(), proto.ints().end());
    case AttributeProto::STRINGS:
      return std::vector<std::string>(proto.strings().begin(), proto.strings().end());
    case AttributeProto::TENSOR:
      return file.TensorOf(proto.t());
    case AttributeProto::SPARSE_TENSOR:
      return file.DenseTensorOf(proto.sparse_tensor());
    case AttributeProto::TYPE_PROTO:
      return TypeOf(proto.tp(), "attribute '" + proto.name() + "'");
    default:
      throw Error(ErrorCode::kUnsupported,
                  "attribute '" + proto.name() +
                      "' is a list of tensors, types or graphs, or a kind that is not known");
  }
}

}  // namespace ingot::onnx
