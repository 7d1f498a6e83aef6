// The machine's rate of matrix products, measured once and remembered in the user's cache folder.
#pragma once

#include <optional>
#include <string>

#include "ingot/base/file.h"

namespace ingot::train {

// What is remembered: one JSON object, "CPU, instruction set, threads" -> GFLOP/s.
inline constexpr const char* kGemmPeakFile = "gemm_peak.json";

struct GemmPeak {
  std::optional<double> gflops;
  std::string reason;  // why there is none; else ""
};

// The rate of `threads` threads together (backends/cpu/gemm_peak.h): as remembered in `folder`,
// else measured where `may_measure` and then remembered there. `folder` "": the user's cache
// folder. A file that cannot be read or written only means that it is measured again the next time.
GemmPeak FindGemmPeak(FileSystem& file_system, int threads, bool may_measure,
                      const std::string& folder = "");

}  // namespace ingot::train
