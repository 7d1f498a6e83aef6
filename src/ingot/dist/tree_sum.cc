// Reduce-scatter and all-gather along the tree: see tree_sum.h.
#include "ingot/dist/tree_sum.h"

#include <algorithm>
#include <cstring>

namespace ingot::dist {
namespace {

// Sets of values up to this size go to everyone at once: a second message costs more.
constexpr uint64_t kSmallBytes = 4096;
constexpr uint64_t kRangeUnit = 64;

}  // namespace

TreeSum TreeSum::OfCommon(const ExchangePlan& plan, int workers, int rank) {
  TreeSum sum(plan, workers, rank);
  const uint64_t bytes = plan.has_owned() ? plan.common_bytes : plan.plain_bytes;
  // Two workers: the same bytes, sent once instead of twice; more subtrees than workers: more
  // bytes.
  sum.everywhere_ = bytes <= kSmallBytes || (workers == 2 && plan.subtrees.size() == 2);
  const uint64_t units = (bytes + kRangeUnit - 1) / kRangeUnit;
  const auto at = [&](int member) {
    return std::min(
        bytes, units * static_cast<uint64_t>(member) / static_cast<uint64_t>(workers) * kRangeUnit);
  };
  for (int member = 0; member < workers; ++member) {
    sum.ranges_.push_back({at(member), member + 1 == workers ? bytes : at(member + 1)});
    if (sum.everywhere_) sum.ranges_.back() = {0, bytes};
  }
  return sum;
}

TreeSum TreeSum::OfOwned(const ExchangePlan& plan, int workers, int rank) {
  TreeSum sum(plan, workers, rank);
  sum.for_all_ = false;
  for (size_t member = 0; member < static_cast<size_t>(workers); ++member) {
    sum.ranges_.push_back({plan.owned_begin[member], plan.owned_begin[member + 1]});
  }
  return sum;
}

uint64_t TreeSum::staging_bytes() const {
  return ranges_[static_cast<size_t>(rank_)].size() * plan_->subtrees.size();
}

void TreeSum::Ask(uint64_t sequence, std::byte* shared, std::byte* staging, Link& link) {
  sequence_ = sequence;
  shared_ = shared;
  ReceivePartials(staging, link);
  for (int i = 1; i < workers_ && for_all_ && !everywhere_; ++i) {
    const int peer = (rank_ + workers_ - i) % workers_;
    const Range range = ranges_[static_cast<size_t>(peer)];
    if (range.size() == 0) continue;
    finished_.push_back({link.Receive(plan_->rank_of(peer), TagOf(sequence, kSums, 0),
                                      shared + plan_->reduced + range.begin, range.size()),
                         peer});
  }
}

void TreeSum::Begin(Link& link) {
  CopyOwnPartials();
  for (int i = 1; i < workers_; ++i) {
    const int peer = (rank_ + i) % workers_;
    const Range range = ranges_[static_cast<size_t>(peer)];
    if (range.size() == 0) continue;
    for (int s = 0; s < plan_->subtrees_of(rank_); ++s) {
      const std::byte* set = OwnPartial(s);
      sent_.push_back({link.Send(plan_->rank_of(peer), TagOf(sequence_, kPartials, s),
                                 set + range.begin, range.size()),
                       peer});
    }
  }
}

void TreeSum::ReceivePartials(std::byte* staging, Link& link) {
  const Range own = ranges_[static_cast<size_t>(rank_)];
  sums_.resize(plan_->subtrees.size());
  for (int peer = 0; peer < workers_; ++peer) {
    const int first = plan_->first_subtree[static_cast<size_t>(peer)];
    for (int s = 0; s < plan_->subtrees_of(peer); ++s) {
      std::byte*& sum = sums_[static_cast<size_t>(first + s)];
      if (peer == rank_) {
        sum = OwnPartial(s) + own.begin;
        if (!copies_own()) continue;
      } else if (own.size() > 0) {
        partials_.push_back({link.Receive(plan_->rank_of(peer), TagOf(sequence_, kPartials, s),
                                          staging, own.size()),
                             peer});
      }
      sum = staging;
      staging += own.size();
    }
  }
}

std::byte* TreeSum::OwnPartial(int subtree) const {
  return shared_ + plan_->partials + static_cast<uint64_t>(subtree) * plan_->bytes;
}

void TreeSum::CopyOwnPartials() {
  if (!copies_own()) return;
  const Range own = ranges_[static_cast<size_t>(rank_)];
  const auto first = static_cast<size_t>(plan_->first_subtree[static_cast<size_t>(rank_)]);
  for (int s = 0; s < plan_->subtrees_of(rank_); ++s) {
    std::memcpy(sums_[first + static_cast<size_t>(s)], OwnPartial(s) + own.begin, own.size());
  }
}

void TreeSum::FinishTree(Link& link) {
  Wait(partials_, link);
  const Range own = ranges_[static_cast<size_t>(rank_)];
  if (own.size() == 0) return;
  Add();
  for (int i = 1; i < workers_ && for_all_ && !everywhere_; ++i) {
    const int peer = (rank_ + i) % workers_;
    sent_.push_back({link.Send(plan_->rank_of(peer), TagOf(sequence_, kSums, 0),
                               shared_ + plan_->reduced + own.begin, own.size()),
                     peer});
  }
}

// Adds the sums of the subtrees up, segment by segment as far as they lie in the range, and puts
// the whole where it is wanted.
void TreeSum::Add() {
  const Range range = ranges_[static_cast<size_t>(rank_)];
  for (const ExchangePlan::Segment& segment : plan_->segments) {
    const uint64_t begin = std::max(segment.offset, range.begin);
    const uint64_t end = std::min(segment.offset + segment.bytes, range.end);
    if (begin >= end) continue;
    const uint64_t at = begin - range.begin;
    std::byte* whole = shared_ + plan_->reduced + begin;
    if (plan_->additions.empty()) std::memcpy(whole, sums_[0] + at, end - begin);
    for (size_t i = 0; i < plan_->additions.size(); ++i) {
      std::byte* left = sums_[static_cast<size_t>(plan_->additions[i].into)] + at;
      const std::byte* right = sums_[static_cast<size_t>(plan_->additions[i].from)] + at;
      const bool is_last = i + 1 == plan_->additions.size();
      AddValues(segment.dtype, is_last ? whole : left, left, right, end - begin);
    }
  }
}

void TreeSum::End(Link& link) {
  Wait(finished_, link);
  Wait(sent_, link);
}

void TreeSum::Wait(std::vector<Pending>& messages, Link& link) {
  for (const Pending& pending : messages) {
    link.WaitFor(*pending.message, plan_->rank_of(pending.peer));
  }
  messages.clear();
}

}  // namespace ingot::dist
