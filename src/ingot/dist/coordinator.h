// Coordinator: who belongs to the group. A thread in one of the workers' processes (any can take it
// over: member.h); it keeps nothing but what the workers tell it and the records of the store.
//
// When a member is lost, or one is there that wants to join, all are told to pause; when all that
// live are ready, a group of the next epoch is made of them. A group counts only once its record is
// created in the store, which only one coordinator can do.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ingot/dist/complaint.h"
#include "ingot/dist/group.h"
#include "ingot/dist/store.h"
#include "ingot/dist/wire.h"

namespace ingot::dist {

struct CoordinatorOptions {
  Store* store = nullptr;
  std::string token;
  std::string host;                  // to listen at
  int expected_workers = 1;          // at the beginning
  int most_workers = 1;              // shards: more stand by
  int least_workers = 1;             // fewer cannot go on: a mesh has a worker at each place
  bool joins_between_steps = false;  // members are asked to make room, and not paused in a step
  GroupTiming timing;
  std::function<void(bool warning, const std::string&)> log;
};

class Coordinator {
 public:
  // Listens, but does not serve before it is known under `generation`. Throws Error(kIo).
  explicit Coordinator(CoordinatorOptions options);
  ~Coordinator();  // tells everyone that is left that the connection is over
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  const Endpoint& endpoint() const { return endpoint_; }
  void Serve(int64_t generation);
  // Waits until all have been told of the end and have gone, but not long.
  void Drain();

 private:
  struct Peer {
    LineSocket socket;
    WorkerCard card;
    bool welcome = false;
    bool in_group = false;
    bool ready = false;
    bool lost = false;
    int64_t step = -1;
    double heard = 0;
    Json addresses;
    Json status;
    int64_t late_named = -1;  // the step of the last complaint
  };

  void Loop();
  void Accept();
  void ReadPeers();
  void Handle(Peer& peer, const Json& message);
  void HandleHello(Peer& peer, const Json& message);
  void HandleReady(Peer& peer, const Json& message);
  void HandleAddresses(Peer& peer, const Json& message);
  void HandleTop(Peer& peer);
  std::string Objection(const Json& message, std::string& hint);
  std::string RankObjection(const Peer& peer, std::string& hint) const;
  void Refuse(Peer& peer, const std::string& why, const std::string& hint);
  void DropLost();
  void CheckSilence(double now);
  void Pause(const std::string& why);
  void TryForm(double now);
  bool MayForm(double now);
  bool AllOfLastGroupAccountedFor() const;
  bool StateIsHere() const;
  void SayWaiting(double now, bool is_due, const std::function<std::string()>& text);
  void Form();
  std::vector<Peer*> MembersByRank();
  std::string WhoWaitsFor(const Peer& late);
  void NameLate(double now);
  void EndAll(const Json& end);
  void Log(bool warning, const std::string& text) const {
    if (options_.log) options_.log(warning, text);
  }
  int FreeSlot() const;
  static bool HoldsSlotOf(const Peer& other, const Peer& peer);
  bool SlotIsTaken(const Peer& by) const;

  CoordinatorOptions options_;
  FileDescriptor listener_;
  Endpoint endpoint_;
  std::thread thread_;
  std::atomic<bool> closing_ = false;
  std::atomic<bool> drained_ = false;

  // Of the thread alone.
  std::list<Peer> peers_;
  int64_t generation_ = 0;
  int64_t epoch_ = 0;
  bool running_ = false;  // a group is at work
  bool ended_ = false;
  bool deposed_ = false;
  double began_ = 0;
  double gathering_since_ = 0;
  double last_tick_ = 0;
  double last_lease_ = 0;
  Complaint complaint_;
  double last_said_waiting_ = 0;
  std::string lead_;
  Json last_group_;
  Json end_;
};

// Whether a process of this machine runs (a stopped one does); zombies do not.
bool ProcessRuns(int64_t pid);

}  // namespace ingot::dist
