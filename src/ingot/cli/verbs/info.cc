// ingot info: what this program is and what it finds on this machine.
#include <fmt/format.h>
#include <hwy/highway.h>
#include <nlohmann/json.hpp>
#include <png.h>
#include <zlib.h>

#include "backends/cpu/kernel_table.h"
#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/machine.h"
#include "ingot/base/text.h"
#include "ingot/cli/program.h"
#include "ingot/train/gemm_peak.h"

namespace ingot::cli {
namespace {

struct Library {
  std::string name;
  std::string version;
};

// Those that say which they are; yaml-cpp and CLI11 do so only to their own build systems.
std::vector<Library> Libraries() {
  std::vector<Library> libraries;
  libraries.push_back({"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100,
                                          FMT_VERSION % 100)});
  libraries.push_back({"highway", fmt::format("{}.{}", HWY_MAJOR, HWY_MINOR)});
  libraries.push_back({"libpng", ::png_get_libpng_ver(nullptr)});
  libraries.push_back(
      {"nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                    NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)});
  libraries.push_back({"zlib", ::zlibVersion()});
  return libraries;
}

std::string Cache() {
  try {
    return CacheFolder();
  } catch (const Error&) {
    return "";  // neither a cache nor a home folder is named
  }
}

class Info : public Verb {
 public:
  void Declare(Options& options) override {
    options.Flag("--peak", &peak_,
                 "also the rate of matrix products, measured now where it is not remembered");
    options.Threads(&threads_,
                    "the threads of --peak (default: the CPUs that this process may use)");
    options.Flag("--json", &json_, "prints JSON");
  }

  int Run(const Streams& streams) override {
    std::optional<double> peak;
    const auto threads = static_cast<int>(threads_.value_or(AvailableCpus()));
    if (peak_) peak = train::FindGemmPeak(RealFileSystem(), threads, true).gflops;
    streams.Out(json_ ? Json(peak) : Text(peak, threads));
    return kOk;
  }

 private:
  static std::string Text(std::optional<double> peak, int threads) {
    const auto row = [](const char* name, const std::string& value) {
      return fmt::format("{:<18} {}\n", name, value);
    };
    std::string libraries;
    for (const Library& library : Libraries()) {
      libraries += (libraries.empty() ? "" : ", ") + library.name + " " + library.version;
    }
    const std::string cache = Cache();
    const std::string rate =
        peak ? row("products", fmt::format("{:.1f} GFLOP/s in f32 on {} thread{}", *peak, threads,
                                           threads == 1 ? "" : "s"))
             : "";
    return row("ingot", kVersion) + row("compiler", CompilerName()) + row("CPU", CpuModelName()) +
           row("instruction sets", Join(ingot::InstructionSets(), " ")) +
           row("kernels for", Join(cpu::InstructionSets(), ", ") + " (the first is used)") +
           row("threads", fmt::format("{} (the CPUs that this process may use)", AvailableCpus())) +
           row("memory", HumanBytes(AvailableMemory())) + rate + row("libraries", libraries) +
           row("cache folder", cache.empty() ? "none: set INGOT_CACHE or HOME" : cache) +
           row("data folder", DataFolder().value_or("none: INGOT_DATA is not set"));
  }

  static std::string Json(std::optional<double> peak) {
    nlohmann::ordered_json json;
    json["version"] = kVersion;
    json["compiler"] = CompilerName();
    json["cpu"] = CpuModelName();
    json["instruction_sets"] = ingot::InstructionSets();
    json["kernel_instruction_sets"] = cpu::InstructionSets();
    json["threads"] = AvailableCpus();
    json["memory_bytes"] = AvailableMemory();
    if (peak) json["gemm_peak_gflops"] = *peak;
    for (const Library& library : Libraries()) json["libraries"][library.name] = library.version;
    json["cache_folder"] = Cache();
    json["data_folder"] = DataFolder().value_or("");
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  static std::string CompilerName() {
#if defined(__clang__)
    return fmt::format("Clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    return fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
  }

  bool peak_ = false;
  std::optional<int64_t> threads_;
  bool json_ = false;
};

}  // namespace

void AddInfo(Program& program) {
  program.Add<Info>({.name = "info",
                     .summary = "show version, CPU, instruction sets, libraries and folders",
                     .details = "",
                     .example = "ingot info\n"
                                "ingot info --peak"});
}

}  // namespace ingot::cli
