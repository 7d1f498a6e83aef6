// embed_columns: a layer for tables (embed_columns.cc).
#pragma once

#include "ingot/nn/layer.h"

namespace ingot::nn {

LayerKind EmbedColumnsLayer();

}  // namespace ingot::nn
