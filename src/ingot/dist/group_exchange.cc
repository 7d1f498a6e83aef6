// Reduce-scatter and all-gather along the tree.
#include "ingot/dist/group_exchange.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"

namespace ingot::dist {
namespace {

// Sets of values up to this size go to everyone at once: a second message costs more.
constexpr uint64_t kSmallBytes = 4096;
constexpr uint64_t kRangeUnit = 64;
constexpr size_t kRanksOfFlag = 24;  // bits that a float holds exactly

enum Phase : uint64_t { kPartials = 0, kSums = 1, kDirect = 2, kCoded = 3 };

// Of the flags: how many workers wish to stop, how many to gather the state, and a bit for each
// rank that met a number that is not finite, kRanksOfFlag in each.
constexpr size_t kStops = 0;
constexpr size_t kGathers = 1;
constexpr size_t kNotFinite = 2;

uint64_t Tag(uint64_t sequence, Phase phase, int subtree) {
  return MessageTag(sequence, static_cast<uint64_t>(subtree) << 2 | phase);
}

std::string NameOf(const ExchangePlan& plan) {
  if (plan.segments.size() < 2) return "flags";
  std::string name = plan.segments[1].name;
  if (plan.segments.size() > 2) {
    name += " and " + std::to_string(plan.segments.size() - 2) + " more";
  }
  return name;
}

}  // namespace

GroupExchange::GroupExchange(std::unique_ptr<Transport> transport, int rank, int size)
    : transport_(std::move(transport)), rank_(rank), size_(size) {}

GroupExchange::~GroupExchange() = default;

uint64_t GroupExchange::StagingOf(const ExchangePlan& plan) const {
  const int size = SizeOf(plan);
  const uint64_t each =
      InOnePhase(plan, size) ? plan.plain_bytes : RangeOf(plan, OwnOf(plan)).size();
  return each * plan.subtrees.size();
}

void GroupExchange::SetPlans(std::vector<ExchangePlan> plans, std::vector<TransferPlan> transfers) {
  plans_ = std::move(plans);
  transfers_ = std::move(transfers);
  uint64_t staging = 0;
  uint64_t packed = 0;
  size_t subtrees = 0;
  for (const TransferPlan& transfer : transfers_) {
    for (const TransferAction& action : transfer.actions) {
      if (action.kind != TransferAction::Kind::kSum) continue;
      staging = std::max(staging, StagingOf(action.plan));
      packed = std::max(packed, 2 * action.plan.bytes);
      subtrees = std::max(subtrees, action.plan.subtrees.size());
    }
  }
  for (const ExchangePlan& plan : plans_) {
    for (const ExchangePlan::Segment& segment : plan.segments) {
      if (segment.dtype == DType::kF32 || segment.dtype == DType::kF64) continue;
      throw Error(ErrorCode::kUnsupported,
                  "'" + segment.name + "' is a sum of " + std::string(Name(segment.dtype)) +
                      ", which several processes cannot add yet",
                  "train in one process, or in f32");
    }
    staging = std::max(staging, StagingOf(plan));
    subtrees = std::max(subtrees, plan.subtrees.size());
  }
  staging_.resize(staging);
  packed_.assign(packed, std::byte{});
  sums_.resize(subtrees);
}

// The number of an exchange, by which its messages are told from those of others: the channel, and
// a count below that. Of what all take part in the channel is 0.
uint64_t GroupExchange::NextSequence(Channel channel, int peer) {
  if (channel == Channel::kAll) return ++sequence_;
  const uint64_t count = sequences_[{channel, peer}]++;
  return static_cast<uint64_t>(channel) << kCountBits | count % (uint64_t{1} << kCountBits);
}

GroupExchange::Range GroupExchange::RangeOf(const ExchangePlan& plan, int member) const {
  const int size = SizeOf(plan);
  const uint64_t units = (plan.plain_bytes + kRangeUnit - 1) / kRangeUnit;
  const auto at = [&](int r) {
    return std::min(plan.plain_bytes,
                    units * static_cast<uint64_t>(r) / static_cast<uint64_t>(size) * kRangeUnit);
  };
  return {at(member), member + 1 == size ? plan.plain_bytes : at(member + 1)};
}

bool GroupExchange::InOnePhase(const ExchangePlan& plan, int size) {
  if (plan.plain_bytes <= kSmallBytes) return true;
  // Two workers: the same bytes, sent once instead of twice; more subtrees than workers: more
  // bytes.
  return size == 2 && plan.subtrees.size() == 2;
}

bool GroupExchange::Run(uint32_t index, int64_t step, std::byte* shared, bool not_finite) {
  const ExchangePlan& plan = plans_[index];
  const bool is_group = !plan.peers.empty();
  Begin(index, step, NameOf(plan));
  if (!is_group) {
    FinishSends(nullptr);
    WriteFlags(plan, shared, not_finite);
  }
  RunPlain(plan, NextSequence(plan.channel, -1), shared);
  const bool somewhere_not_finite = is_group ? not_finite : ReadFlags(plan, shared);
  // Every worker knows it by now, and what is not finite is added to nothing.
  if (plan.plain_bytes < plan.bytes && !somewhere_not_finite) {
    if (!coded_) coded_ = std::make_unique<CodedExchange>(rank_, size_);
    coded_->Run(plan, shared, *this);
  }
  for (const ExchangePlan::Copy& copy : plan.copies) {
    std::memcpy(shared + copy.to, shared + copy.from, copy.bytes);
  }
  End();
  return somewhere_not_finite;
}

void GroupExchange::Begin(uint32_t index, int64_t step, std::string what) {
  if (broken_.load()) ThrowBroken(-1, "");
  const std::lock_guard lock(mutex_);
  status_.step = step;
  status_.plan = static_cast<int>(index);
  status_.what = std::move(what);
}

void GroupExchange::End() {
  const std::lock_guard lock(mutex_);
  status_.plan = -1;
}

void GroupExchange::Transfer(uint32_t index, int64_t step, const runtime::StepValues& values) {
  const TransferPlan& plan = transfers_[index];
  Begin(index, step, plan.name);
  for (const TransferAction& action : plan.actions) {
    if (action.kind == TransferAction::Kind::kSum) {
      SumTransfer(action, values);
      continue;
    }
    for (int s = action.shards.begin; s < action.shards.end; ++s) {
      const std::span<std::byte> rows = values.Rows(action.value.slot_value, s);
      const uint64_t tag = Tag(NextSequence(action.channel, action.peer), kPartials, 0);
      if (action.kind == TransferAction::Kind::kSend) {
        // Nobody waits for it here: the next stage may be busy with what came before.
        sending_.push_back(
            {rows.data(), action.peer, SendMessage(action.peer, tag, rows.data(), rows.size())});
      } else {
        // What comes back lies where that went from.
        FinishSends(rows.data());
        WaitFor(*transport_->Receive(action.peer, tag, rows.data(), rows.size()), action.peer);
      }
    }
  }
  End();
}

void GroupExchange::FinishSends(const void* data) {
  std::vector<Sending> rest;
  for (Sending& sending : sending_) {
    if (data != nullptr && sending.data != data) {
      rest.push_back(std::move(sending));
      continue;
    }
    WaitFor(*sending.message, sending.peer);
  }
  sending_ = std::move(rest);
}

// Packs the values, sums them along the tree over the group and puts them back.
void GroupExchange::SumTransfer(const TransferAction& action, const runtime::StepValues& values) {
  const ExchangePlan& plan = action.plan;
  const uint64_t offset = plan.segments.back().offset;
  std::byte* own = packed_.data() + plan.partials + offset;
  const std::byte* sum = packed_.data() + plan.reduced + offset;
  if (!action.value.is_rows) {
    std::memcpy(own, values.shared() + action.value.from, action.value.bytes);
    RunPlain(plan, NextSequence(action.channel, -1), packed_.data());
    std::memcpy(values.shared() + action.value.to, sum, action.value.bytes);
    return;
  }
  for (int s = action.shards.begin; s < action.shards.end; ++s) {
    const std::span<std::byte> rows = values.Rows(action.value.slot_value, s);
    std::memcpy(own, rows.data(), rows.size());
    own += rows.size();
  }
  RunPlain(plan, NextSequence(action.channel, -1), packed_.data());
  for (int s = action.shards.begin; s < action.shards.end; ++s) {
    const std::span<std::byte> rows = values.Rows(action.value.slot_value, s);
    std::memcpy(rows.data(), sum, rows.size());
    sum += rows.size();
  }
}

std::unique_ptr<Message> GroupExchange::StartSend(int peer, int phase, const void* data,
                                                  size_t bytes) {
  return SendMessage(peer, Tag(sequence_, kCoded, phase), data, bytes);
}

std::unique_ptr<Message> GroupExchange::StartReceive(int peer, int phase, void* data,
                                                     size_t bytes) {
  return transport_->Receive(peer, Tag(sequence_, kCoded, phase), data, bytes);
}

void GroupExchange::RunPlain(const ExchangePlan& plan, uint64_t sequence, std::byte* shared) {
  const int size = SizeOf(plan);
  const int me = OwnOf(plan);
  const bool one_phase = InOnePhase(plan, size);
  const Range own = one_phase ? Range{0, plan.plain_bytes} : RangeOf(plan, me);

  // What comes is asked for first, so that nobody waits for this worker's asking.
  struct Pending {
    std::unique_ptr<Message> message;
    int peer;
  };
  std::vector<Pending> partials, sums, sent;
  std::byte* staging = staging_.data();
  for (int peer = 0; peer < size; ++peer) {
    const int first = plan.first_subtree[static_cast<size_t>(peer)];
    for (int s = 0; s < plan.subtrees_of(peer); ++s) {
      if (peer == me) {
        std::byte* partial =
            shared + plan.partials + static_cast<uint64_t>(s) * plan.bytes + own.begin;
        sums_[static_cast<size_t>(first + s)] = partial;
        // Sums are added to in place, and these are on their way to the others meanwhile.
        if (one_phase && plan.additions.size() > 1) {
          std::memcpy(staging, partial, own.size());
          sums_[static_cast<size_t>(first + s)] = staging;
          staging += own.size();
        }
        continue;
      }
      sums_[static_cast<size_t>(first + s)] = staging;
      if (own.size() == 0) continue;
      partials.push_back({transport_->Receive(RankOf(plan, peer), Tag(sequence, kPartials, s),
                                              staging, own.size()),
                          peer});
      staging += own.size();
    }
  }
  for (int i = 1; i < size && !one_phase; ++i) {
    const int peer = (me + size - i) % size;
    const Range range = RangeOf(plan, peer);
    if (range.size() == 0) continue;
    sums.push_back({transport_->Receive(RankOf(plan, peer), Tag(sequence, kSums, 0),
                                        shared + plan.reduced + range.begin, range.size()),
                    peer});
  }
  for (int i = 1; i < size; ++i) {
    const int peer = (me + i) % size;
    const Range range = one_phase ? own : RangeOf(plan, peer);
    if (range.size() == 0) continue;
    for (int s = 0; s < plan.subtrees_of(me); ++s) {
      sent.push_back(
          {SendMessage(RankOf(plan, peer), Tag(sequence, kPartials, s),
                       shared + plan.partials + static_cast<uint64_t>(s) * plan.bytes + range.begin,
                       range.size()),
           peer});
    }
  }
  for (const Pending& pending : partials) WaitFor(*pending.message, RankOf(plan, pending.peer));
  if (own.size() > 0) FinishTree(plan, own, shared);
  for (int i = 1; i < size && !one_phase && own.size() > 0; ++i) {
    const int peer = (me + i) % size;
    sent.push_back({SendMessage(RankOf(plan, peer), Tag(sequence, kSums, 0),
                                shared + plan.reduced + own.begin, own.size()),
                    peer});
  }
  for (const Pending& pending : sums) WaitFor(*pending.message, RankOf(plan, pending.peer));
  for (const Pending& pending : sent) WaitFor(*pending.message, RankOf(plan, pending.peer));
}

void GroupExchange::WriteFlags(const ExchangePlan& plan, std::byte* shared, bool not_finite) const {
  for (int s = 0; s < plan.subtrees_of(rank_); ++s) {
    float flags[kFlagFloats] = {};
    const size_t word = kNotFinite + static_cast<size_t>(rank_) / kRanksOfFlag;
    if (s == 0) {
      flags[kStops] = asks_to_stop_.load() ? 1 : 0;
      flags[kGathers] = asks_to_gather_.load() ? 1 : 0;
      if (not_finite && word < kFlagFloats) {
        flags[word] = static_cast<float>(1u << static_cast<size_t>(rank_) % kRanksOfFlag);
      } else if (not_finite) {
        flags[kFlagFloats - 1] = 1;
      }
    }
    std::memcpy(shared + plan.partials + static_cast<uint64_t>(s) * plan.bytes, flags,
                sizeof(flags));
  }
}

bool GroupExchange::ReadFlags(const ExchangePlan& plan, const std::byte* shared) {
  float flags[kFlagFloats];
  std::memcpy(flags, shared + plan.reduced, sizeof(flags));
  if (flags[kStops] > 0) agreed_to_stop_.store(true);
  if (flags[kGathers] > 0) agreed_to_gather_.store(true);
  bool not_finite = false;
  std::vector<int> ranks;
  for (size_t word = kNotFinite; word < kFlagFloats; ++word) {
    if (flags[word] == 0) continue;
    not_finite = true;
    const auto bits = static_cast<uint32_t>(flags[word]);
    for (size_t bit = 0; bit < kRanksOfFlag; ++bit) {
      if ((bits >> bit & 1) != 0)
        ranks.push_back(static_cast<int>((word - kNotFinite) * kRanksOfFlag + bit));
    }
  }
  if (not_finite) {
    const std::lock_guard lock(mutex_);
    not_finite_ranks_ = std::move(ranks);
  }
  return not_finite;
}

// Adds the sums of the subtrees up, segment by segment as far as they lie in the range, and puts
// the whole where it is wanted.
void GroupExchange::FinishTree(const ExchangePlan& plan, Range range, std::byte* shared) {
  for (const ExchangePlan::Segment& segment : plan.segments) {
    const uint64_t begin = std::max(segment.offset, range.begin);
    const uint64_t end = std::min(segment.offset + segment.bytes, range.end);
    if (begin >= end) continue;
    const uint64_t at = begin - range.begin;
    std::byte* whole = shared + plan.reduced + begin;
    if (plan.additions.empty()) std::memcpy(whole, sums_[0] + at, end - begin);
    for (size_t i = 0; i < plan.additions.size(); ++i) {
      std::byte* left = sums_[static_cast<size_t>(plan.additions[i].into)] + at;
      const std::byte* right = sums_[static_cast<size_t>(plan.additions[i].from)] + at;
      const bool is_last = i + 1 == plan.additions.size();
      AddValues(segment.dtype, is_last ? whole : left, left, right, end - begin);
    }
  }
}

std::unique_ptr<Message> GroupExchange::SendMessage(int peer, uint64_t tag, const void* data,
                                                    size_t bytes) {
  bytes_sent_.store(bytes_sent_.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  return transport_->Send(peer, tag, data, bytes);
}

void GroupExchange::WaitFor(Message& message, int peer) {
  const double begin = MonotonicSeconds();
  {
    const std::lock_guard lock(mutex_);
    status_.waiting_for = peer;
    status_.since = begin;
  }
  std::string error;
  const bool done = message.Wait(&error);
  {
    const std::lock_guard lock(mutex_);
    status_.waiting_for = -1;
  }
  waiting_seconds_.store(
      waiting_seconds_.load(std::memory_order_relaxed) + MonotonicSeconds() - begin,
      std::memory_order_relaxed);
  if (!done) ThrowBroken(peer, error);
}

void GroupExchange::ThrowBroken(int peer, const std::string& error) {
  std::string why;
  {
    const std::lock_guard lock(mutex_);
    why = why_broken_;
  }
  if (why.empty() && peer >= 0) why = "the connection to rank " + std::to_string(peer) + " is lost";
  if (!error.empty()) why += ": " + error;
  Break(why);
  throw runtime::ExchangeBroken(why);
}

void GroupExchange::Break(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (why_broken_.empty()) why_broken_ = why;
  }
  broken_.store(true);
  transport_->Abort();
}

std::vector<int> GroupExchange::not_finite_ranks() const {
  const std::lock_guard lock(mutex_);
  return not_finite_ranks_;
}

ExchangeStatus GroupExchange::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void GroupExchange::Send(int peer, const void* data, size_t bytes) {
  if (bytes == 0) return;
  if (broken_.load()) ThrowBroken(-1, "");
  direct_bytes_sent_.store(direct_bytes_sent_.load(std::memory_order_relaxed) + bytes,
                           std::memory_order_relaxed);
  WaitFor(*SendMessage(peer, Tag(0, kDirect, 0), data, bytes), peer);
}

void GroupExchange::Receive(int peer, void* data, size_t bytes) {
  if (bytes == 0) return;
  if (broken_.load()) ThrowBroken(-1, "");
  WaitFor(*transport_->Receive(peer, Tag(0, kDirect, 0), data, bytes), peer);
}

}  // namespace ingot::dist
