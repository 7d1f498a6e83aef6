// What the members of a group know of each other, and what a worker must show to be let in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ingot::dist {

// Who a worker is and what it would compute. Two workers of a job must agree about the digests.
struct WorkerCard {
  std::string id;    // no two processes have the same
  int slot = -1;     // the number under which people know it; -1: the coordinator gives one
  std::string host;  // where peers reach it
  std::string machine;
  int64_t pid = 0;
  std::string version;
  std::string job_digest;
  std::string data_digest;
  std::string kernel_digest;
};

// Limits of time, in seconds.
struct GroupTiming {
  double beat = 0.05;    // between two signs of life
  double silence = 0.4;  // without one, a worker or the coordinator counts as lost
  double late = 1.75;    // the others wait so long: the late one is named
  double start = 60;     // for all workers of a job to come
};

struct MemberInfo {
  std::string id;
  int slot = 0;
  std::string host;
  std::string machine;
  int64_t pid = 0;
  int64_t step = -1;  // how far the state is that it holds, as Member::Join was told; -1: none
};

struct GroupView {
  int64_t epoch = 0;  // counts the groups of a job
  int rank = 0;
  int lead = 0;  // the rank that writes the run's files
  std::vector<MemberInfo> members;

  int size() const { return static_cast<int>(members.size()); }
  // That of the member that is furthest; -1 where none holds the state.
  int64_t step() const {
    int64_t most = -1;
    for (const MemberInfo& member : members) most = member.step > most ? member.step : most;
    return most;
  }
};

}  // namespace ingot::dist
