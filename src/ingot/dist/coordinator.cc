// The coordinator's thread: one poll loop.
#include "ingot/dist/coordinator.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::dist {
namespace {

constexpr int kTickMilliseconds = 10;
constexpr double kLeaseSeconds = 0.1;
// After the coordinator was lost: how long members that may live are waited for.
constexpr double kGraceSeconds = 0.3;
constexpr double kDrainSeconds = 2;
constexpr double kSilent = 0.3;

std::string MachineName() {
  char name[256] = "";
  ::gethostname(name, sizeof(name) - 1);
  return name;
}

std::string Describe(const WorkerCard& card) {
  return fmt::format("rank {} ({}, process {})", card.slot, card.machine, card.pid);
}

// Their number is that of the logical shards, or of the replicas.
std::string StandsBy(const WorkerCard& card, int most) {
  return fmt::format("{} stands by: the job is for {} workers at most", Describe(card), most);
}

}  // namespace

bool ProcessRuns(int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const size_t end = text.rfind(')');
  return end != std::string::npos && end + 2 < text.size() && text[end + 2] != 'Z' &&
         text[end + 2] != 'X';
}

Coordinator::Coordinator(CoordinatorOptions options) : options_(std::move(options)) {
  listener_ = Listen({options_.host, 0}, &endpoint_);
}

Coordinator::~Coordinator() {
  closing_.store(true);
  if (thread_.joinable()) thread_.join();
}

void Coordinator::Serve(int64_t generation) {
  generation_ = generation;
  epoch_ = LastNumber(*options_.store, "epoch");
  if (epoch_ > 0) {
    const auto record = options_.store->Get("epoch-" + std::to_string(epoch_));
    if (record) last_group_ = Json::parse(*record, nullptr, false);
    if (last_group_.is_object()) lead_ = Text(last_group_, "lead");
  }
  began_ = gathering_since_ = last_tick_ = MonotonicSeconds();
  thread_ = std::thread([this] { Loop(); });
}

void Coordinator::Drain() {
  const double until = MonotonicSeconds() + kDrainSeconds;
  while (!drained_.load() && MonotonicSeconds() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void Coordinator::Loop() {
  while (!closing_.load() && !deposed_) {
    std::vector<pollfd> polls = {{listener_.get(), POLLIN, 0}};
    for (const Peer& peer : peers_) {
      const int events = POLLIN | (peer.socket.wants_to_write() ? POLLOUT : 0);
      polls.push_back({peer.socket.fd(), static_cast<short>(events), 0});
    }
    ::poll(polls.data(), polls.size(), kTickMilliseconds);
    Accept();
    ReadPeers();
    DropLost();
    const double now = MonotonicSeconds();
    CheckSilence(now);
    if (now - last_lease_ >= kLeaseSeconds) {
      last_lease_ = now;
      try {
        // One that was stopped may find itself replaced.
        if (LastNumber(*options_.store, "coordinator") > generation_) break;
        options_.store->Put("lease", fmt::format("{} {:.3f}", generation_, now));
      } catch (const Error& error) {
        // The members are connected, and go on.
        if (complaint_.IsDue()) Log(true, error.message());
      }
    }
    if (!running_ && !ended_) TryForm(now);
    if (running_) NameLate(now);
    last_tick_ = now;
    drained_.store(ended_ && peers_.empty());
  }
  // Who still asks here must look for another.
  peers_.clear();
  listener_.Close();
  drained_.store(true);
}

void Coordinator::Accept() {
  while (true) {
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    Peer& peer = peers_.emplace_back();
    peer.socket = LineSocket(FileDescriptor(fd));
    peer.heard = MonotonicSeconds();
  }
}

void Coordinator::ReadPeers() {
  for (Peer& peer : peers_) {
    std::vector<Json> messages;
    const bool alive = peer.socket.Receive(messages);
    if (!messages.empty()) peer.heard = MonotonicSeconds();
    for (const Json& message : messages) {
      if (peer.lost) continue;
      try {
        Handle(peer, message);
      } catch (const Json::exception&) {
        Refuse(peer, "a message that no worker of Ingot sends", "");
      }
    }
    if (!alive || !peer.socket.Flush()) peer.lost = true;
  }
}

void Coordinator::Handle(Peer& peer, const Json& message) {
  const std::string type = Text(message, "type");
  if (type == "hello") return HandleHello(peer, message);
  if (type == "top" && SameToken(Text(message, "token"), options_.token)) return HandleTop(peer);
  if (!peer.welcome) return Refuse(peer, "a worker must say who it is first", "");
  if (type == "beat") {
    peer.status = message;
    peer.socket.Send({{"type", "beat"}});
  } else if (type == "ready") {
    HandleReady(peer, message);
  } else if (type == "addresses") {
    HandleAddresses(peer, message);
  } else if (type == "finished") {
    EndAll({{"type", "end"}, {"error", ""}});
  } else if (type == "failed") {
    Json end = message;
    end["type"] = "end";
    end["rank"] = peer.card.slot;
    end["machine"] = peer.card.machine;
    Log(true, Describe(peer.card) + " has failed: " + Text(message, "error"));
    EndAll(end);
  }
}

void Coordinator::HandleReady(Peer& peer, const Json& message) {
  peer.ready = true;
  peer.step = Whole(message, "step", -1);
  if (!running_) return;
  if (peer.in_group) {
    Pause(Describe(peer.card) + " has left the group: " + Text(message, "why"));
    return;
  }
  const auto members = std::count_if(peers_.begin(), peers_.end(),
                                     [](const Peer& p) { return p.in_group && !p.lost; });
  if (members < options_.most_workers && options_.joins_between_steps) {
    Log(false, Describe(peer.card) + " joins after the step at hand");
    for (Peer& member : peers_) {
      if (member.in_group && !member.lost) member.socket.Send({{"type", "wish"}});
    }
  } else if (members < options_.most_workers) {
    Pause(Describe(peer.card) + " joins");
  } else {
    Log(false, StandsBy(peer.card, options_.most_workers));
  }
}

void Coordinator::HandleAddresses(Peer& peer, const Json& message) {
  if (Whole(message, "epoch", 0) != epoch_ || !peer.in_group) return;
  peer.addresses = message.value("addresses", Json::array());
  std::vector<Peer*> members;
  for (Peer& other : peers_) {
    if (!other.in_group) continue;
    if (!other.addresses.is_array()) return;  // not all are there
    members.push_back(&other);
  }
  const auto order = [this](const Peer* p) {
    const Json& list = last_group_["members"];
    for (size_t i = 0; i < list.size(); ++i) {
      if (list[i]["id"] == p->card.id) return i;
    }
    return list.size();
  };
  std::sort(members.begin(), members.end(),
            [&](const Peer* a, const Peer* b) { return order(a) < order(b); });
  if (members.size() != last_group_["members"].size()) return;  // one is lost already
  for (size_t rank = 0; rank < members.size(); ++rank) {
    Json list = Json::array();
    for (const Peer* from : members) list.push_back(from->addresses.at(rank));
    members[rank]->socket.Send({{"type", "addresses"}, {"epoch", epoch_}, {"addresses", list}});
  }
}

void Coordinator::HandleTop(Peer& peer) {
  Json workers = Json::array();
  const double now = MonotonicSeconds();
  for (const Peer& other : peers_) {
    if (!other.welcome || other.lost) continue;
    Json row = other.status.is_object() ? other.status : Json::object();
    row["rank"] = other.card.slot;
    row["machine"] = other.card.machine;
    row["pid"] = other.card.pid;
    row["state"] = other.in_group ? "member" : "standby";
    row["silent_seconds"] = now - other.heard;
    workers.push_back(row);
  }
  peer.socket.Send(
      {{"type", "top"}, {"epoch", epoch_}, {"running", running_}, {"workers", workers}});
}

void Coordinator::DropLost() {
  std::string lost;
  for (auto peer = peers_.begin(); peer != peers_.end();) {
    if (!peer->lost) {
      ++peer;
      continue;
    }
    if (peer->in_group && running_) lost = Describe(peer->card) + " is lost";
    peer = peers_.erase(peer);
  }
  if (!lost.empty() && !ended_) Pause(lost);
}

// A stall of this thread itself is nobody's fault.
void Coordinator::CheckSilence(double now) {
  if (now - last_tick_ > options_.timing.silence / 2) {
    for (Peer& peer : peers_) peer.heard = now;
    return;
  }
  for (Peer& peer : peers_) {
    if (now - peer.heard <= options_.timing.silence) continue;
    if (peer.welcome) {
      const std::string waiting = WhoWaitsFor(peer);
      Log(true,
          fmt::format("{} has given no sign of life for {:.1f} s (stopped or cut off){}{}: the "
                      "others go on without it",
                      Describe(peer.card), now - peer.heard, waiting.empty() ? "" : "; ", waiting));
    }
    peer.lost = true;
  }
  DropLost();
}

void Coordinator::Pause(const std::string& why) {
  if (!running_) return;
  running_ = false;
  gathering_since_ = MonotonicSeconds();
  Log(false, why + ": a new group is formed");
  for (Peer& peer : peers_) {
    if (!peer.welcome || !peer.in_group) continue;
    peer.socket.Send({{"type", "pause"}, {"epoch", epoch_}, {"why", why}});
  }
}

bool Coordinator::AllOfLastGroupAccountedFor() const {
  if (!last_group_.is_object()) return true;
  const std::string here = MachineName();
  for (const Json& member : last_group_["members"]) {
    const std::string id = Text(member, "id");
    const bool is_here = std::any_of(peers_.begin(), peers_.end(), [&](const Peer& peer) {
      return peer.welcome && peer.card.id == id;
    });
    if (is_here) continue;
    if (Text(member, "machine") != here || ProcessRuns(Whole(member, "pid", 0))) return false;
  }
  return true;
}

bool Coordinator::MayForm(double now) {
  int welcome = 0;
  for (const Peer& peer : peers_) {
    if (!peer.welcome || peer.lost) continue;
    ++welcome;
    if (!peer.ready) return false;
  }
  if (welcome == 0) return false;
  if (welcome < options_.least_workers) {
    SayWaiting(now, now - gathering_since_ > 5, [&] {
      return fmt::format("{} of the {} workers of the mesh are here: the others are waited for",
                         welcome, options_.least_workers);
    });
    if (now - gathering_since_ > options_.timing.start) {
      EndAll({{"type", "end"},
              {"error", fmt::format("{} of the {} workers of the mesh have come within {:.0f} s",
                                    welcome, options_.least_workers, options_.timing.start)},
              {"hint", "see the log for what became of the others"},
              {"exit_status", 1},
              {"rank", -1},
              {"machine", MachineName()}});
    }
    return false;
  }
  if (epoch_ == 0) {
    const double waited = now - began_;
    if (welcome >= options_.expected_workers || waited > options_.timing.start) return true;
    SayWaiting(now, waited > 5, [&] {
      return fmt::format("{} of {} workers have come so far", welcome, options_.expected_workers);
    });
    return false;
  }
  if (AllOfLastGroupAccountedFor()) return true;
  // A coordinator that has just taken over gives the others a moment to find it.
  if (StateIsHere()) return now - began_ >= kGraceSeconds;
  // Who is missing may have been stopped, or cut off, with the run's state: without it all would
  // begin anew, from a checkpoint that may be old.
  SayWaiting(now, now - gathering_since_ > 2, [&] {
    return fmt::format(
        "none of the {} workers here holds the state of the run, and some of group "
        "{} may: they are waited for",
        welcome, epoch_);
  });
  return now - gathering_since_ > options_.timing.start;
}

// Again and again, but not all the time.
void Coordinator::SayWaiting(double now, bool is_due, const std::function<std::string()>& text) {
  if (!is_due || now - last_said_waiting_ <= 5) return;
  last_said_waiting_ = now;
  Log(true, text());
}

// Or nobody holds the whole of it, as a rule.
bool Coordinator::StateIsHere() const {
  return options_.joins_between_steps ||
         std::any_of(peers_.begin(), peers_.end(),
                     [](const Peer& peer) { return peer.welcome && !peer.lost && peer.step >= 0; });
}

void Coordinator::TryForm(double now) {
  if (MayForm(now)) Form();
}

void Coordinator::Form() {
  std::vector<Peer*> chosen;
  int64_t most = -1;
  for (Peer& peer : peers_) {
    peer.in_group = false;
    peer.addresses = nullptr;
    if (!peer.welcome || peer.lost || !peer.ready) continue;
    chosen.push_back(&peer);
    most = std::max(most, peer.step);
  }
  // Who holds the state is never left out; else the lowest slots come first.
  const auto by_slot = [](const Peer* a, const Peer* b) {
    return std::tie(a->card.slot, a->card.id) < std::tie(b->card.slot, b->card.id);
  };
  std::sort(chosen.begin(), chosen.end(), by_slot);
  std::stable_sort(chosen.begin(), chosen.end(), [most](const Peer* a, const Peer* b) {
    return (a->step == most) > (b->step == most);
  });
  if (static_cast<int>(chosen.size()) > options_.most_workers) {
    for (size_t i = static_cast<size_t>(options_.most_workers); i < chosen.size(); ++i) {
      Log(false, StandsBy(chosen[i]->card, options_.most_workers));
    }
    chosen.resize(static_cast<size_t>(options_.most_workers));
  }
  std::sort(chosen.begin(), chosen.end(), by_slot);
  size_t lead = chosen.size();
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i]->step != most) continue;
    if (lead == chosen.size() || chosen[i]->card.id == lead_) lead = i;
  }
  Json members = Json::array();
  for (const Peer* peer : chosen) {
    members.push_back({{"id", peer->card.id},
                       {"slot", peer->card.slot},
                       {"host", peer->card.host},
                       {"machine", peer->card.machine},
                       {"pid", peer->card.pid},
                       {"step", peer->step}});
  }
  Json group = {{"type", "group"},           {"epoch", epoch_ + 1},
                {"generation", generation_}, {"lead", chosen[lead]->card.id},
                {"lead_rank", lead},         {"members", members}};
  if (!options_.store->Create("epoch-" + std::to_string(epoch_ + 1), group.dump())) {
    Log(true, "another coordinator has taken over");
    deposed_ = true;
    peers_.clear();
    return;
  }
  ++epoch_;
  lead_ = chosen[lead]->card.id;
  last_group_ = group;
  running_ = true;
  for (size_t rank = 0; rank < chosen.size(); ++rank) {
    Peer& peer = *chosen[rank];
    peer.in_group = true;
    peer.ready = false;
    peer.status = nullptr;
    peer.late_named = -1;
    group["rank"] = rank;
    peer.socket.Send(group);
  }
}

std::vector<Coordinator::Peer*> Coordinator::MembersByRank() {
  std::vector<Peer*> members;
  if (!last_group_.is_object()) return members;
  for (const Json& member : last_group_["members"]) {
    for (Peer& peer : peers_) {
      if (peer.in_group && peer.card.id == member["id"]) members.push_back(&peer);
    }
  }
  if (members.size() != last_group_["members"].size()) members.clear();
  return members;
}

// "ranks 0, 2 wait for its part of the reduction of head.weight and 7 more in step 18"; "" where
// nobody does.
std::string Coordinator::WhoWaitsFor(const Peer& late) {
  const std::vector<Peer*> members = MembersByRank();
  std::vector<std::string> ranks;
  std::string what;
  for (const Peer* peer : members) {
    const int64_t rank = Whole(peer->status, "waiting_for", -1);
    if (rank < 0 || peer == &late) continue;
    ranks.push_back(std::to_string(peer->card.slot));
    if (rank < static_cast<int64_t>(members.size()) &&
        members[static_cast<size_t>(rank)] == &late) {
      // Between steps, where states are handed over, it has no name.
      const std::string sum = Text(peer->status, "what");
      what = fmt::format("{} in step {}",
                         sum.empty() ? " for it" : " for its part of the reduction of " + sum,
                         Whole(peer->status, "step", 0) + 1);
    }
  }
  if (what.empty()) return "";
  return fmt::format("rank{} {} wait{}{}", ranks.size() == 1 ? "" : "s", Join(ranks, ", "),
                     ranks.size() == 1 ? "s" : "", what);
}

// Names who is late while others wait for it.
void Coordinator::NameLate(double now) {
  const std::vector<Peer*> members = MembersByRank();
  for (const Peer* waiting : members) {
    const Json& status = waiting->status;
    const int64_t rank = Whole(status, "waiting_for", -1);
    const auto stated = status.find("waiting_seconds");
    const bool is_number = stated != status.end() && stated->is_number();
    const double seconds = is_number ? stated->get<double>() : 0;
    if (rank < 0 || rank >= static_cast<int64_t>(members.size())) continue;
    if (seconds < options_.timing.late) continue;
    Peer& late = *members[static_cast<size_t>(rank)];
    const int64_t step = Whole(status, "step", 0);
    // Who waits itself is not at fault; what one said that is silent since is of no account.
    const double silent = now - late.heard;
    const bool answers = silent < kSilent;
    if (answers && Whole(late.status, "waiting_for", -1) >= 0) continue;
    if (late.late_named == step) continue;
    late.late_named = step;
    const std::string doing = Text(late.status, "doing");
    const std::string state =
        answers ? fmt::format("is {} in step {}", doing.empty() ? "computing" : doing,
                              Whole(late.status, "step", 0) + 1)
                : fmt::format("has given no sign of life for {:.1f} s", silent);
    Log(true, fmt::format("{} is late: it {}; {}", Describe(late.card), state, WhoWaitsFor(late)));
  }
}

void Coordinator::EndAll(const Json& end) {
  if (ended_) return;
  ended_ = true;
  running_ = false;
  try {
    options_.store->Put("ended", Text(end, "error"));
  } catch (const Error& error) {
    Log(true, error.message());
  }
  end_ = end;
  for (Peer& peer : peers_) {
    if (peer.welcome) peer.socket.Send(end_);
  }
}

}  // namespace ingot::dist
