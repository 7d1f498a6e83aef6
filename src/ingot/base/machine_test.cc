// What is told about the machine agrees with what the kernel says.
#include "ingot/base/machine.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <sched.h>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"

namespace ingot {
namespace {

void Put(const TestFolder& folder, const std::string& name, const std::string& text) {
  RealFileSystem().CreateDirectories(ParentDirectory(folder / name));
  WriteFileAtomically(RealFileSystem(), folder / name, text);
}

TEST(MachineTest, TellsAboutThisMachine) {
  EXPECT_GE(AvailableCpus(), 1);
  EXPECT_FALSE(CpuModelName().empty());
  EXPECT_GT(AvailableMemory(), uint64_t{1} << 20);
  EXPECT_GT(ResidentBytes(), uint64_t{100} << 10);
  EXPECT_GE(PeakResidentBytes(), uint64_t{100} << 10);
#if defined(__x86_64__)
  const std::vector<std::string> sets = InstructionSets();
  const bool has_avx2 = std::find(sets.begin(), sets.end(), "avx2") != sets.end();
  EXPECT_EQ(has_avx2, __builtin_cpu_supports("avx2") != 0);
#endif
}

TEST(MachineTest, PeakMemoryGrowsWithWhatIsTouched) {
  const uint64_t before = ResidentBytes();
  const std::string big(size_t{64} << 20, 'x');
  EXPECT_GE(PeakResidentBytes(), before + (big.size() / 2));
}

TEST(MachineTest, AffinityCounts) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(before), &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(AvailableCpus(), 1);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST(MachineTest, CgroupsOfVersionTwo) {
  const TestFolder root;
  EXPECT_FALSE(machine_internal::CgroupCpus(root.path()).has_value());
  Put(root, "proc/self/cgroup", "0::/slice/job\n");
  Put(root, "sys/fs/cgroup/slice/job/cpu.max", "max 100000\n");
  Put(root, "sys/fs/cgroup/slice/job/memory.max", "max\n");
  EXPECT_FALSE(machine_internal::CgroupCpus(root.path()).has_value());
  EXPECT_FALSE(machine_internal::CgroupMemory(root.path()).has_value());
  // The tightest of the cgroups above counts.
  Put(root, "sys/fs/cgroup/slice/cpu.max", "150000 100000\n");
  Put(root, "sys/fs/cgroup/slice/memory.max", "1048576\n");
  EXPECT_EQ(machine_internal::CgroupCpus(root.path()), 1.5);
  EXPECT_EQ(machine_internal::CgroupMemory(root.path()), 1048576u);
  Put(root, "sys/fs/cgroup/slice/job/cpu.max", "50000 100000\n");
  EXPECT_EQ(machine_internal::CgroupCpus(root.path()), 0.5);
}

TEST(MachineTest, CgroupsOfVersionTwoInAContainer) {
  const TestFolder root;
  Put(root, "proc/self/cgroup", "0::/../outside\n");
  Put(root, "sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(machine_internal::CgroupCpus(root.path()), 2.0);
}

TEST(MachineTest, CgroupsOfVersionOne) {
  const TestFolder root;
  Put(root, "proc/self/cgroup",
      "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n2:cpuset:/\n1:name=systemd:/x\n");
  Put(root, "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
  Put(root, "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  Put(root, "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_FALSE(machine_internal::CgroupCpus(root.path()).has_value());
  EXPECT_FALSE(machine_internal::CgroupMemory(root.path()).has_value());
  Put(root, "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "250000\n");
  Put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "4194304\n");
  EXPECT_EQ(machine_internal::CgroupCpus(root.path()), 2.5);
  EXPECT_EQ(machine_internal::CgroupMemory(root.path()), 4194304u);
}

}  // namespace
}  // namespace ingot
