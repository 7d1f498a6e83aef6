// The remembered rate of products: see gemm_peak.h.
#include "ingot/train/gemm_peak.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "backends/cpu/gemm_peak.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/machine.h"

namespace ingot::train {
namespace {

// What was remembered, or an empty object.
nlohmann::ordered_json ReadPeaks(FileSystem& file_system, const std::string& path) {
  nlohmann::ordered_json peaks = nlohmann::ordered_json::object();
  try {
    if (!file_system.Exists(path)) return peaks;
    peaks = nlohmann::ordered_json::parse(ReadFile(path), nullptr, /*allow_exceptions=*/false);
  } catch (const Error&) {
    // Not readable: measured anew.
  }
  return peaks.is_object() ? peaks : nlohmann::ordered_json::object();
}

}  // namespace

GemmPeak FindGemmPeak(FileSystem& file_system, int threads, bool may_measure,
                      const std::string& folder) {
  std::string path;
  try {
    path = folder.empty() ? CacheFolder() : folder;
  } catch (const Error&) {
    // Neither a cache nor a home folder is named: nothing is remembered.
  }
  const std::string file = path + "/" + kGemmPeakFile;
  // Rates of an older kernel are not those of this one.
  const std::string key = fmt::format("{}, {}, {} threads, blocked products", CpuModelName(),
                                      cpu::InstructionSet(), threads);
  auto peaks = path.empty() ? nlohmann::ordered_json::object() : ReadPeaks(file_system, file);
  if (peaks.contains(key) && peaks[key].is_number() && peaks[key].get<double>() > 0) {
    return {peaks[key].get<double>(), ""};
  }
  if (!may_measure) {
    return {std::nullopt, "not measured yet on this machine, and the run was too short to do so"};
  }
  const double gflops = cpu::MeasureGemmPeak(threads);
  if (path.empty()) return {gflops, ""};
  try {
    peaks[key] = gflops;
    file_system.CreateDirectories(path);
    WriteFileAtomically(file_system, file, peaks.dump(2) + "\n");
  } catch (const Error&) {
    // A cache that cannot be written costs a measurement the next time.
  }
  return {gflops, ""};
}

}  // namespace ingot::train
