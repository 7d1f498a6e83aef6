// TreeSum: values of an exchange that are summed along the fixed tree over all workers, in four
// parts of a conversation, so that other work can be done between them: what is to come is asked
// for; what this worker has goes out; the tree is finished over what has come; the sums that others
// have finished come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ingot/dist/coded_exchange.h"
#include "ingot/dist/exchange_plan.h"

namespace ingot::dist {

enum MessagePhase : uint64_t { kPartials = 0, kSums = 1, kDirect = 2, kCoded = 3 };

// Of a message of an exchange; `number` tells those of a phase apart.
inline uint64_t TagOf(uint64_t sequence, MessagePhase phase, int number) {
  return MessageTag(sequence, static_cast<uint64_t>(number) << 2 | phase);
}

class TreeSum {
 public:
  struct Range {
    uint64_t begin = 0;
    uint64_t end = 0;
    uint64_t size() const { return end - begin; }
  };

  // The values of a plan that all need: every element of the sums is finished by one worker
  // (reduce-scatter) and then given to all (all-gather); where that saves no bytes, or so few that
  // the way there and back costs more, every worker finishes all of it.
  static TreeSum OfCommon(const ExchangePlan& plan, int workers, int rank);
  // Those that one worker alone needs, which finishes them.
  static TreeSum OfOwned(const ExchangePlan& plan, int workers, int rank);

  uint64_t staging_bytes() const;

  // `shared` has room for the values as the plan says; `staging` and both must stay until End.
  // What is asked for before others send it comes at once when they do.
  void Ask(uint64_t sequence, std::byte* shared, std::byte* staging, Link& link);
  // `shared` holds the values now.
  void Begin(Link& link);
  void FinishTree(Link& link);
  void End(Link& link);

 private:
  struct Pending {
    std::unique_ptr<Message> message;
    int peer;
  };

  TreeSum(const ExchangePlan& plan, int workers, int rank)
      : plan_(&plan), workers_(workers), rank_(rank) {}
  void ReceivePartials(std::byte* staging, Link& link);
  std::byte* OwnPartial(int subtree) const;
  // Sums are added to in place, while the own ones are on their way to the others: then a copy is.
  bool copies_own() const { return everywhere_ && plan_->additions.size() > 1; }
  void CopyOwnPartials();
  void Add();
  void Wait(std::vector<Pending>& messages, Link& link);

  const ExchangePlan* plan_;
  int workers_, rank_;         // those of the plan's group
  std::vector<Range> ranges_;  // what each worker finishes
  bool everywhere_ = false;    // all finish all
  bool for_all_ = true;        // sums go to all
  uint64_t sequence_ = 0;
  std::byte* shared_ = nullptr;
  std::vector<std::byte*> sums_;  // of each subtree, in this worker's range
  std::vector<Pending> partials_, finished_, sent_;
};

}  // namespace ingot::dist
