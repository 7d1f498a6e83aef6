// What the machine offers this process: CPUs, memory, instruction sets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ingot {

// CPUs that this process may use: those of its affinity mask, at most its cgroup's quota (v1 or v2,
// the tightest of its cgroup and those above it) rounded up. At least 1.
int AvailableCpus();

// "AMD EPYC 9354 32-Core Processor"; "unknown CPU" where the kernel does not say.
std::string CpuModelName();

// Those of the CPU's instruction sets that matter here, by the kernel's names, oldest first:
// "sse4_2", "avx2", "fma", "avx512f", "avx512_bf16", ... Only what the kernel lets programs use.
std::vector<std::string> InstructionSets();

// Bytes of memory that this process may use: the machine's, at most its cgroup's limit. 0 where the
// kernel does not say.
uint64_t AvailableMemory();

// Bytes of memory this process holds now, and held at most (VmRSS and VmHWM). 0 where the kernel
// does not say.
uint64_t ResidentBytes();
uint64_t PeakResidentBytes();

// For tests: the limits of the cgroups of this process, where `root` stands for "/" in
// "/proc/self/cgroup" and "/sys/fs/cgroup". CPUs as a fraction (1.5), memory in bytes; none where
// there is no limit.
namespace machine_internal {
std::optional<double> CgroupCpus(const std::string& root);
std::optional<uint64_t> CgroupMemory(const std::string& root);
}  // namespace machine_internal

}  // namespace ingot
