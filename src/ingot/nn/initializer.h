// Initializers: the first values of a parameter, a pure function of (seed, parameter's name).
//
// Fans: a parameter of shape [in, out] (dense weights) has fan_in = in and fan_out = out. One of
// shape [..., in, out] multiplies both by the extents before them. A bias takes the fans of the
// weight it stands beside.
//
//   glorot_uniform  U(-a, a), a = sqrt(6 / (fan_in + fan_out))      (Glorot & Bengio 2010)
//   glorot_normal   N(0, s), s = sqrt(2 / (fan_in + fan_out))
//   he_uniform      U(-a, a), a = sqrt(6 / fan_in)                  (He et al. 2015)
//   he_normal       N(0, s), s = sqrt(2 / fan_in)
//   lecun_uniform   U(-a, a), a = sqrt(3 / fan_in)                  (LeCun et al. 1998)
//   lecun_normal    N(0, s), s = sqrt(1 / fan_in)
//   torch_uniform   U(-a, a), a = 1 / sqrt(fan_in): what PyTorch's Linear gives weight and bias
//   orthogonal      gain * Q of the QR decomposition of a normal matrix, flattened to two axes
//                   (Saxe et al. 2014)
//   normal, uniform, constant, zeros, ones
//
// Normals are not truncated. Values are computed in f64 and rounded once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/tensor/tensor.h"

namespace ingot::nn {

struct Fans {
  int64_t in = 1;
  int64_t out = 1;
};

// The fans of a weight of this shape, as above; a vector [n] has in = out = n.
Fans FansOf(const Shape& shape);

struct Initializer {
  std::string kind = "zeros";
  double mean = 0;     // normal
  double std = 0.05;   // normal
  double low = -0.05;  // uniform
  double high = 0.05;  // uniform
  double value = 0;    // constant
  double gain = 1;     // orthogonal
  // The values themselves, of a model that is trained further; then `kind` is not looked at.
  std::shared_ptr<const Tensor> given = nullptr;
};

// `glorot_uniform`, or `normal: {std: 0.01}`. Throws Error(kInvalidInput) at the node's place.
Initializer ReadInitializer(const ConfigNode& node);
ConfigNode WriteInitializer(const Initializer& initializer);
std::vector<std::string> InitializerNames();
// The options of all kinds, for the reference documentation.
std::vector<OptionHelp> InitializerHelp();

// The first values: element i depends on (seed, name, i) alone, but for orthogonal, where it
// depends on all of the matrix. Throws Error(kInvalidInput) for an unknown kind or, with
// orthogonal, a shape of fewer than two axes.
Tensor Initialize(const Initializer& initializer, const std::string& name, const Shape& shape,
                  Fans fans, DType dtype, uint64_t seed);

}  // namespace ingot::nn
