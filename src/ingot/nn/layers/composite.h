// What the layers that hold layers share.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ingot/nn/layer.h"
#include "ingot/nn/layer_reader.h"

namespace ingot::nn {

// A kind of layer that holds layers: `make` reads them from the options.
template <typename Options>
LayerKind DefineComposite(const OptionTable<Options>& table,
                          Layer (*make)(Options options, const LayerReader& reader)) {
  LayerKind kind;
  kind.name = table.name();
  kind.summary = table.summary();
  kind.takes_any_type = true;  // the inner layers say what they take
  kind.help = [&table] { return table.Help(table.name()); };
  kind.read = [&table, make](const ConfigNode& node, const LayerReader& reader) {
    return make(table.Read(node), reader);
  };
  return kind;
}

}  // namespace ingot::nn
