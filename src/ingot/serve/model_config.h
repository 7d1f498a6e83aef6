// config.pbtxt: reading and writing a served model's configuration, deriving it from the model, and
// what the server takes from it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/serve/backend.h"
#include "ingot/serve/batch_scheduler.h"
#include "ingot/serve/served_model.h"

namespace inference {
class ModelConfig;
}

namespace ingot::serve {

using ModelConfig = inference::ModelConfig;

// Throw Error(kInvalidInput) with line and column, or the key.
ModelConfig ParseConfigText(std::string_view pbtxt);
ModelConfig ParseConfigJson(std::string_view json);
std::string ConfigText(const ModelConfig& config);
// As clients get it: every key, numbers as numbers.
std::string ConfigJson(const ModelConfig& config);

// Fills in what the configuration leaves open from what the model says of itself: platform, inputs,
// outputs, max_batch_size (where every port's first axis is dynamic under one name), and dynamic
// batching. `had_file`: an operator wrote it, so that a max_batch_size of 0 was meant.
void CompleteConfig(const std::string& name, std::span<const Port> inputs,
                    std::span<const Port> outputs, bool had_file, ModelConfig& config);

// Compares the configuration with the model; throws Error(kInvalidInput) that names the input or
// output that differs.
void CheckConfig(const ModelConfig& config, std::span<const Port> inputs,
                 std::span<const Port> outputs);

// The ports of ServedModel, in the backend's order; labels are read below `folder`.
void FillPorts(const ModelConfig& config, std::span<const Port> inputs,
               std::span<const Port> outputs, const std::string& folder, ServedModel& model);

// The number of the port of that name. Throws Error(kInvalidInput) with `fault`, which says what of
// config.pbtxt names it, where there is none.
size_t PortNumber(const std::vector<ServedPort>& ports, const std::string& name,
                  const std::string& fault);

// max_queue_delay_microseconds; a minute at most.
int64_t QueueDelay(uint64_t microseconds);

BatchSettings BatchSettingsOf(const ModelConfig& config, int default_instances);

// The element type of a number of TYPE_...; kUndefined for others.
DType ConfigType(int type);

// parameters { key: "..." value { string_value: "..." } }; "" where there is none.
std::string ConfigParameter(const ModelConfig& config, const std::string& key);

}  // namespace ingot::serve
