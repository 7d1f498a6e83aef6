// Member: a worker's side of the group. A thread of its own keeps the connection to the
// coordinator, gives signs of life, and looks for the coordinator anew (or takes its place) when it
// is lost.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/dist/complaint.h"
#include "ingot/dist/coordinator.h"
#include "ingot/dist/group.h"
#include "ingot/dist/group_exchange.h"
#include "ingot/dist/store.h"
#include "ingot/dist/transport.h"
#include "ingot/dist/wire.h"

namespace ingot::dist {

struct MemberOptions {
  std::shared_ptr<Store> store;
  std::string token;
  WorkerCard card;
  int expected_workers = 1;
  int most_workers = 1;
  int least_workers = 1;
  bool joins_between_steps = false;  // a group is asked to make room, not broken in a step
  std::shared_ptr<TransportFactory> transports;
  GroupTiming timing;
  std::function<void(bool warning, const std::string&)> log;
};

// Another worker has failed, has said why, and so the run is over.
class PeerFailed : public Error {
 public:
  PeerFailed(std::string what, int exit_status)
      : Error(ErrorCode::kIo, std::move(what)), exit_status_(exit_status) {}
  int exit_status() const { return exit_status_; }

 private:
  int exit_status_;
};

// A group that this worker belongs to, connected.
struct Group {
  GroupView view;
  std::shared_ptr<GroupExchange> exchange;
};

// What a worker is at, for those who watch.
struct Progress {
  std::atomic<int64_t> step = 0;
  std::atomic<int64_t> samples = 0;  // computed by this worker
  std::atomic<const char*> doing = "";
};

// Join and the calls below it belong to one thread.
class Member {
 public:
  explicit Member(MemberOptions options);
  ~Member();
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  // That of its card.
  const std::string& id() const { return options_.card.id; }

  // Waits until this worker belongs to a group and is connected with all of it. `step`: how far it
  // is, a number that grows with the steps done, -1 where it does not hold the state; `why` it left
  // the one before. Nothing where the run has ended meanwhile (another worker has finished it).
  // Throws Error: kInvalidInput where the coordinator refuses this worker; PeerFailed.
  std::optional<Group> Join(int64_t step, const std::string& why);

  // By the worker that has finished the run: tells all others, and waits until they know.
  void Finish();
  // By a worker that has done all steps: until the run has ended (true), or the group changes, to
  // be joined again (false). Throws PeerFailed.
  bool WaitForEnd();
  // This worker cannot go on: all others end too. False where another one has failed before, and
  // says why.
  bool Fail(const std::string& error, const std::string& hint, int exit_status);

  int slot() const { return slot_.load(); }
  Progress& progress() { return progress_; }

 private:
  void Loop();
  bool FindCoordinator();
  void LookAtLease();
  bool LeaseIsStale() const;
  void RestoreRecords();
  bool ConnectTo(const Json& record, bool* refused);
  void NoteEnd(const std::string& error);
  // Why the coordinator of the record is replaced, for the log.
  std::string WhyReplaced(const Json& record, bool gone) const;
  bool TakeOver(int64_t generation, const std::string& why);
  void Attend();
  void Handle(const Json& message);
  void SendBeat();
  void Push(Json message);
  bool FlushOutbox();
  std::optional<Group> Connect(const Json& view, std::string* why);
  void ThrowIfEnded(bool* finished);
  void Log(bool warning, const std::string& text) const {
    if (options_.log) options_.log(warning, text);
  }

  MemberOptions options_;
  std::string host_;
  Progress progress_;
  std::atomic<int> slot_ = -1;
  std::thread thread_;
  std::atomic<bool> closing_ = false;
  FileDescriptor wake_;  // an eventfd: there is something in the outbox

  // Of the thread alone.
  LineSocket socket_;
  std::unique_ptr<Coordinator> coordinator_;
  int64_t generation_ = 0;
  std::string lease_;
  double lease_changed_ = 0;
  Complaint complaint_;
  double heard_ = 0;
  double beat_at_ = 0;
  double last_tick_ = 0;
  bool was_welcome_ = false;
  double began_ = 0;
  double rate_at_ = 0;
  double rate_ = 0;  // samples a second
  int64_t rate_samples_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_:
  std::vector<Json> outbox_;
  std::optional<Json> ready_;  // what the coordinator must know while this worker waits
  bool ready_is_sent_ = false;
  std::optional<Json> view_;       // of the newest group
  std::optional<Json> addresses_;  // of its members
  std::optional<Json> last_group_;
  std::optional<Json> end_;
  std::exception_ptr failed_;  // the rendezvous cannot be used
  std::optional<Json> refused_;
  bool paused_ = false;  // since the newest group
  bool wish_ = false;    // of somebody to join it
  int64_t epoch_ = 0;    // of the newest group
  std::shared_ptr<GroupExchange> exchange_;
};

}  // namespace ingot::dist
