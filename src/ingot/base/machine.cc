// CPUs, memory and instruction sets, as the kernel tells them.
#include "ingot/base/machine.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <memory>
#include <string_view>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/file_descriptor.h"
#include "ingot/base/text.h"

namespace ingot {
namespace {

// The file's text, "" where it cannot be read.
std::string TextOf(const std::string& path) {
  // open first: a missing file is the usual case here, and ReadFile would look for its nearest
  // name.
  if (::access(path.c_str(), R_OK) != 0) return "";
  try {
    return ReadFile(path);
  } catch (const Error&) {
    return "";
  }
}

// The first bytes of a file of /proc: the kernel writes only what is read, and the whole of
// /proc/cpuinfo takes long on machines with many CPUs.
std::string BeginningOf(const std::string& path) {
  std::string text(16384, '\0');
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return "";
  const ssize_t got = ::read(file.get(), text.data(), text.size());
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  text = Trim(text);
  uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr == text.data()) return std::nullopt;
  return value;
}

// The value behind "name:" in lines of "name: value".
std::string ValueOf(const std::string& text, std::string_view name) {
  for (const std::string& line : Split(text, '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || Trim(std::string_view(line).substr(0, colon)) != name)
      continue;
    return std::string(Trim(std::string_view(line).substr(colon + 1)));
  }
  return "";
}

uint64_t KibibytesOf(const std::string& path, std::string_view name) {
  return ParseNumber(ValueOf(BeginningOf(path), name)).value_or(0) * 1024;
}

// The folders of this process's cgroup and of those above it that can be seen, for the controller
// of v1 ("" for v2). In a container the path may not exist below the mount: its top then stands for
// the container's own.
std::vector<std::string> CgroupFolders(const std::string& root, const std::string& controller) {
  std::vector<std::string> folders;
  for (const std::string& line : Split(TextOf(root + "/proc/self/cgroup"), '\n')) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::vector<std::string> names = Split(line.substr(first + 1, second - first - 1), ',');
    if (std::find(names.begin(), names.end(), controller) == names.end()) continue;
    std::vector<std::string> mounts;
    if (controller.empty()) {
      mounts = {root + "/sys/fs/cgroup", root + "/sys/fs/cgroup/unified"};
    } else {
      mounts = {root + "/sys/fs/cgroup/" + controller,
                root + "/sys/fs/cgroup/" + line.substr(first + 1, second - first - 1)};
    }
    for (const std::string& mount : mounts) {
      std::string path = line.substr(second + 1);
      while (!path.empty() && path != "/") {
        folders.push_back(mount + path);
        path.erase(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
      }
      folders.push_back(mount);
    }
  }
  return folders;
}

template <typename T>
void TakeSmaller(std::optional<T>& least, std::optional<T> value) {
  if (value && (!least || *value < *least)) least = value;
}

int AffinityCpus() {
  // The kernel's mask may be longer than cpu_set_t: try longer ones until it fits.
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    std::vector<unsigned long> mask(bytes / sizeof(unsigned long) + 1, 0);
    cpu_set_t* set = reinterpret_cast<cpu_set_t*>(mask.data());
    if (::sched_getaffinity(0, bytes, set) == 0) return CPU_COUNT_S(bytes, set);
    if (errno != EINVAL) break;
  }
  return static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace

namespace machine_internal {

std::optional<double> CgroupCpus(const std::string& root) {
  std::optional<double> least;
  for (const std::string& folder : CgroupFolders(root, "")) {
    const std::vector<std::string> words = Split(Trim(TextOf(folder + "/cpu.max")), ' ');
    if (words.size() != 2) continue;
    const std::optional<uint64_t> quota = ParseNumber(words[0]);  // none for "max"
    const std::optional<uint64_t> period = ParseNumber(words[1]);
    if (quota && period && *period > 0) {
      TakeSmaller(least, std::optional(static_cast<double>(*quota) / static_cast<double>(*period)));
    }
  }
  for (const std::string& folder : CgroupFolders(root, "cpu")) {
    const std::optional<uint64_t> quota = ParseNumber(TextOf(folder + "/cpu.cfs_quota_us"));
    const std::optional<uint64_t> period = ParseNumber(TextOf(folder + "/cpu.cfs_period_us"));
    if (quota && period && *period > 0) {  // no quota is written as -1, which is no number here
      TakeSmaller(least, std::optional(static_cast<double>(*quota) / static_cast<double>(*period)));
    }
  }
  return least;
}

std::optional<uint64_t> CgroupMemory(const std::string& root) {
  std::optional<uint64_t> least;
  for (const std::string& folder : CgroupFolders(root, "")) {
    TakeSmaller(least, ParseNumber(TextOf(folder + "/memory.max")));
  }
  for (const std::string& folder : CgroupFolders(root, "memory")) {
    const std::optional<uint64_t> limit = ParseNumber(TextOf(folder + "/memory.limit_in_bytes"));
    // v1 writes "no limit" as the largest number of whole pages.
    if (limit && *limit < uint64_t{1} << 60) TakeSmaller(least, limit);
  }
  return least;
}

}  // namespace machine_internal

int AvailableCpus() {
  int cpus = AffinityCpus();
  if (const std::optional<double> quota = machine_internal::CgroupCpus("")) {
    cpus = std::min(cpus, static_cast<int>(std::ceil(std::min(*quota, 1e6))));
  }
  return std::max(1, cpus);
}

std::string CpuModelName() {
  const std::string text = BeginningOf("/proc/cpuinfo");
  for (const char* name : {"model name", "Model", "Hardware"}) {
    const std::string value = ValueOf(text, name);
    if (!value.empty()) return value;
  }
  return "unknown CPU";
}

std::vector<std::string> InstructionSets() {
  constexpr std::array kNames = {
      "sse4_2",      "avx",      "f16c",     "fma",      "avx2",        "avx_vnni",
      "avx512f",     "avx512dq", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
      "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "sha_ni",      "asimd",
      "asimdhp",     "asimddp",  "i8mm",     "bf16",     "sve",         "sve2"};
  const std::string text = BeginningOf("/proc/cpuinfo");
  std::string flags = ValueOf(text, "flags");
  if (flags.empty()) flags = ValueOf(text, "Features");
  const std::vector<std::string> given = Split(flags, ' ');
  std::vector<std::string> names;
  for (const char* name : kNames) {
    if (std::find(given.begin(), given.end(), name) != given.end()) names.emplace_back(name);
  }
  return names;
}

uint64_t AvailableMemory() {
  const uint64_t total = KibibytesOf("/proc/meminfo", "MemTotal");
  const std::optional<uint64_t> limit = machine_internal::CgroupMemory("");
  return limit && (total == 0 || *limit < total) ? *limit : total;
}

uint64_t ResidentBytes() {
  return KibibytesOf("/proc/self/status", "VmRSS");
}
uint64_t PeakResidentBytes() {
  return KibibytesOf("/proc/self/status", "VmHWM");
}

}  // namespace ingot
