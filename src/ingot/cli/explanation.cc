// The explanation of a job, from its setup and the plan of its compiled step.
#include "ingot/cli/explanation.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/text.h"
#include "ingot/compiler/compile.h"

namespace ingot::cli {
namespace {

std::string WhyShards(const train::TrainingSetup& setup) {
  if (setup.job.logical_shards != "auto") {
    return fmt::format("the job says logical_shards: {}", setup.job.logical_shards);
  }
  return fmt::format(
      "logical_shards: auto gives {} for a batch of {} and a largest layer of {} parameters, on "
      "every machine and with any number of threads",
      setup.logical_shards, setup.batches->batch(),
      WithThousands(setup.network.largest_layer_parameters()));
}

}  // namespace

std::string ExplanationText(const train::TrainingSetup& setup, int threads) {
  const compiler::StepPlan& plan = compiler::PlanOf(*setup.programs[0]);
  std::string text = train::ExplainTraining(setup);
  text += "shards: " + WhyShards(setup) + "\n";
  text += fmt::format("memory: {} planned with {} thread{}\n",
                      HumanBytes(compiler::EngineBytes(setup.programs, threads)), threads,
                      threads == 1 ? "" : "s");
  text += "\nkernels:\n";
  for (const std::string& line : Split(plan.description, '\n')) {
    if (!line.empty()) text += "  " + line + "\n";
  }
  return text;
}

std::string ExplanationJson(const train::TrainingSetup& setup, int threads) {
  const compiler::StepPlan& plan = compiler::PlanOf(*setup.programs[0]);
  nlohmann::ordered_json json;
  json["job"] = setup.resolved.ToYaml();
  json["samples"] = setup.batches->samples();
  json["batch"] = setup.batches->batch();
  json["steps_per_epoch"] = setup.steps_per_epoch();
  json["steps"] = setup.total_steps;
  json["layers"] = nlohmann::ordered_json::array();
  for (const nn::LayerSummary& layer : setup.network.layers) {
    json["layers"].push_back({{"name", layer.name},
                              {"depth", layer.depth},
                              {"output", layer.output.ToString()},
                              {"parameters", layer.parameters}});
  }
  json["parameters"] = setup.network.parameter_count();
  json["step_flop"] = plan.flops;
  json["logical_shards"] = plan.shards;
  json["logical_shards_reason"] = WhyShards(setup);
  json["threads"] = threads;
  json["state_bytes"] = plan.state_bytes;
  json["thread_bytes"] = plan.arena_bytes;
  json["planned_bytes"] = compiler::EngineBytes(setup.programs, threads);
  json["kernels"] = plan.description;
  json["kernel_digest"] = setup.kernel_digest;
  return json.dump(2) + "\n";
}

}  // namespace ingot::cli
