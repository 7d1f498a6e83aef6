// patchify and pad: pictures cut into a sequence of patches, and zeros around them.
#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct PatchifyOptions {
  int64_t size = 4;
};

const OptionTable<PatchifyOptions>& PatchifyTable() {
  static const auto table =
      OptionTable<PatchifyOptions>("patchify",
                                   "a picture [batch, C, H, W] as a sequence of square patches "
                                   "[batch, H/size * W/size, C * size * size], row by row")
          .Add("size", &PatchifyOptions::size, "side of a patch", AtLeast(1))
          .Shorthand("size")
          .Required("size");
  return table;
}

std::string DescribePatchify(const PatchifyOptions& options) {
  return "patchify " + std::to_string(options.size);
}

ir::Value* BuildPatchify(const PatchifyOptions& options, LayerContext& context, ir::Value* x) {
  const ir::Type& type = x->type();
  const int64_t p = options.size;
  if (type.rank() != 4 || type.dim(2).value() % p != 0 || type.dim(3).value() % p != 0) {
    throw Error(ErrorCode::kInvalidInput,
                "patchify takes pictures [batch, C, H, W] whose sides divide by " +
                    std::to_string(p) + ", got " + ir::ToString(type.dims()),
                type.rank() == 3 ? "put '- reshape: [1, H, W]' before it" : "");
  }
  const int64_t c = type.dim(1).value();
  const int64_t rows = type.dim(2).value() / p;
  const int64_t columns = type.dim(3).value() / p;
  ir::Builder& b = context.builder();
  ir::Value* cut = b.Op("Reshape", {x, b.Ints({-1, c, rows, p, columns, p})});
  ir::Value* moved = b.Op("Transpose", {cut}, {{"perm", std::vector<int64_t>{0, 2, 4, 1, 3, 5}}});
  return b.Op("Reshape", {moved, b.Ints({-1, rows * columns, c * p * p})});
}

struct PadOptions {
  std::vector<int64_t> sides;
};

const OptionTable<PadOptions>& PadTable() {
  static const auto table =
      OptionTable<PadOptions>("pad", "zeros around the last axes of a sample")
          .Add("sides", &PadOptions::sides,
               "before and after each: [left, right], or [top, bottom, left, right], ...",
               AtLeast(0))
          .Shorthand("sides")
          .Required("sides");
  return table;
}

std::string DescribePad(const PadOptions& options) {
  return "pad " + Shape(options.sides).ToString();
}

ir::Value* BuildPad(const PadOptions& options, LayerContext& context, ir::Value* x) {
  const auto rank = static_cast<size_t>(x->type().rank());
  const size_t axes = options.sides.size() / 2;
  if (options.sides.empty() || options.sides.size() % 2 != 0 || axes >= rank) {
    throw Error(ErrorCode::kInvalidInput,
                "pad takes two numbers for each of the last axes behind the batch, got " +
                    Shape(options.sides).ToString() + " for " + x->type().ToString());
  }
  std::vector<int64_t> pads(2 * rank, 0);
  for (size_t i = 0; i < axes; ++i) {
    pads[rank - axes + i] = options.sides[2 * i];
    pads[2 * rank - axes + i] = options.sides[2 * i + 1];
  }
  return context.builder().Op("Pad", {x, context.builder().Ints(pads)});
}

}  // namespace

LayerKind PatchifyLayer() {
  return DefineLayer<PatchifyOptions>(PatchifyTable(), DescribePatchify, BuildPatchify);
}

LayerKind PadLayer() {
  return DefineLayer<PadOptions>(PadTable(), DescribePad, BuildPad, /*takes_any_type=*/true);
}

}  // namespace ingot::nn
