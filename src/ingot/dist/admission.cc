// Coordinator: who is let in, and under which number.
#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "ingot/dist/coordinator.h"

namespace ingot::dist {

// What speaks against a worker; "" for nothing.
std::string Coordinator::Objection(const Json& message, std::string& hint) {
  if (!SameToken(Text(message, "token"), options_.token)) {
    hint = "give the token of the job in INGOT_TOKEN or in the file that INGOT_TOKEN_FILE names";
    return "the token is not that of this job";
  }
  struct Field {
    const char* key;
    const char* what;
    const char* hint;
  };
  constexpr Field kFields[] = {
      {"version", "version of Ingot", "install the same version on all machines"},
      {"job", "job", "start every worker with the same job file and overrides"},
      {"data", "training data", "give every worker the same data"},
      {"kernels", "choice of kernels",
       "workers must have the same kind of CPU, so that their bits agree"}};
  Json mine = Json::object();
  for (const Field& field : kFields) mine[field.key] = Text(message, field.key);
  // The first worker of the job says what it is.
  if (options_.store->Create("card", mine.dump())) return "";
  const Json known = Json::parse(options_.store->Get("card").value_or("{}"), nullptr, false);
  for (const Field& field : kFields) {
    const std::string expected = Text(known, field.key);
    const std::string seen = Text(message, field.key);
    if (expected == seen) continue;
    hint = field.hint;
    return fmt::format("its {} is another one: it has {}, the job {}", field.what, seen, expected);
  }
  return "";
}

// Against a worker whose rank another process of its machine has. Of processes of other machines it
// is not known whether they run; an old one may be behind a link that was cut.
std::string Coordinator::RankObjection(const Peer& peer, std::string& hint) const {
  if (peer.card.slot < 0) return "";
  for (const Peer& other : peers_) {
    const WorkerCard& card = other.card;
    if (!HoldsSlotOf(other, peer) || card.machine != peer.card.machine ||
        card.pid == peer.card.pid || !ProcessRuns(card.pid)) {
      continue;
    }
    hint = "give each process a rank of its own (RANK, INGOT_RANK)";
    return fmt::format("rank {} is process {} of this machine already", card.slot, card.pid);
  }
  return "";
}

void Coordinator::Refuse(Peer& peer, const std::string& why, const std::string& hint) {
  peer.socket.Send({{"type", "refused"}, {"error", why}, {"hint", hint}});
  peer.lost = true;
}

void Coordinator::HandleHello(Peer& peer, const Json& message) {
  peer.card.id = Text(message, "id");
  peer.card.slot = static_cast<int>(Whole(message, "slot", -1));
  peer.card.host = Text(message, "host");
  peer.card.machine = Text(message, "machine");
  peer.card.pid = Whole(message, "pid", 0);
  const bool has_own_slot = IsTrue(message, "has_own_slot");
  std::string hint;
  std::string objection = Objection(message, hint);
  if (objection.empty() && has_own_slot) objection = RankObjection(peer, hint);
  if (!objection.empty()) {
    Log(true, fmt::format("refused a worker ({}, process {}): {}", peer.card.machine, peer.card.pid,
                          objection));
    return Refuse(peer, objection, hint);
  }
  // One that an earlier coordinator gave may have been given to another meanwhile.
  if (peer.card.slot < 0 || (!has_own_slot && SlotIsTaken(peer))) peer.card.slot = FreeSlot();
  for (Peer& other : peers_) {
    // It comes again: what is left of its old connection goes.
    if (&other != &peer && other.card.id == peer.card.id) other.lost = true;
  }
  peer.welcome = true;
  peer.in_group = false;
  peer.socket.Send({{"type", "welcome"}, {"slot", peer.card.slot}, {"generation", generation_}});
  if (ended_) peer.socket.Send(end_);
  if (Whole(message, "epoch", 0) > 0 && !ended_) {
    peer.socket.Send({{"type", "pause"}, {"why", "the coordinator is a new one"}});
  }
}

bool Coordinator::HoldsSlotOf(const Peer& other, const Peer& peer) {
  return &other != &peer && other.card.id != peer.card.id && other.welcome && !other.lost &&
         other.card.slot == peer.card.slot;
}

bool Coordinator::SlotIsTaken(const Peer& by) const {
  return std::any_of(peers_.begin(), peers_.end(),
                     [&by](const Peer& peer) { return HoldsSlotOf(peer, by); });
}

int Coordinator::FreeSlot() const {
  for (int slot = 0;; ++slot) {
    const bool taken = std::any_of(peers_.begin(), peers_.end(), [slot](const Peer& peer) {
      return peer.welcome && !peer.lost && peer.card.slot == slot;
    });
    if (!taken) return slot;
  }
}

}  // namespace ingot::dist
