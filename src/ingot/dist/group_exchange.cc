// The exchanges of a step over a transport.
#include "ingot/dist/group_exchange.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ingot/base/align.h"
#include "ingot/base/clock.h"
#include "ingot/base/error.h"

namespace ingot::dist {
namespace {

constexpr size_t kRanksOfFlag = 24;  // bits that a float holds exactly

// Of the flags: how many workers wish to stop, to gather the state, to form a new group, and a bit
// for each rank that met a number that is not finite, kRanksOfFlag in each.
constexpr size_t kStops = 0;
constexpr size_t kGathers = 1;
constexpr size_t kRegroups = 2;
constexpr size_t kNotFinite = 3;

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
  const int own = OwnOf(plan);
  uint64_t bytes = TreeSum::OfCommon(plan, size, own).staging_bytes();
  if (plan.has_owned()) bytes += TreeSum::OfOwned(plan, size, own).staging_bytes();
  return bytes;
}

void GroupExchange::SetPlans(ExchangePlans plans) {
  Abandon();
  spare_.clear();
  plans_ = std::move(plans.exchanges);
  transfers_ = std::move(plans.transfers);
  gathers_ = std::move(plans.gathers);
  uint64_t staging = 0;
  uint64_t packed = 0;
  for (const TransferPlan& transfer : transfers_) {
    for (const TransferAction& action : transfer.actions) {
      if (action.kind != TransferAction::Kind::kSum) continue;
      staging = std::max(staging, StagingOf(action.plan));
      packed = std::max(packed, 2 * action.plan.bytes);
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
  }
  for (const GatherPlan& plan : gathers_) staging = std::max(staging, StagingOf(plan.flags));
  staging_.resize(staging);
  packed_.assign(packed, std::byte{});
}

// The number of an exchange, by which its messages are told from those of others: the channel, and
// a count below that. Of what all take part in the channel is 0.
uint64_t GroupExchange::NextSequence(Channel channel, int peer) {
  if (channel == Channel::kAll) return ++sequence_;
  const uint64_t count = sequences_[{channel, peer}]++;
  return static_cast<uint64_t>(channel) << kCountBits | count % (uint64_t{1} << kCountBits);
}

bool GroupExchange::Run(uint32_t index, int64_t step, std::byte* shared, bool not_finite) {
  const ExchangePlan& plan = plans_[index];
  const bool is_group = !plan.peers.empty();
  Begin(index, step, NameOf(plan));
  if (plan.in_background) {
    Sums sums = BeginSums(index, shared);
    // What went out before has come meanwhile, as a rule: its sums can go out, too.
    for (Sums& before : in_background_) FinishTrees(before);
    in_background_.push_back(std::move(sums));
    End();
    return not_finite;
  }
  if (!is_group) {
    FinishSends(nullptr);
    WriteFlags(plan, shared, not_finite);
  }
  Sums sums = BeginSums(index, shared);
  if (plan.ends_background) {
    for (Sums& before : in_background_) FinishTrees(before);
  }
  FinishTrees(sums);
  for (TreeSum& sum : sums.sums) sum.End(*this);
  if (plan.ends_background) {
    for (Sums& before : in_background_) {
      for (TreeSum& sum : before.sums) sum.End(*this);
      Copy(plans_[before.plan], shared);
      spare_.push_back(std::move(before));
    }
    in_background_.clear();
  }
  spare_.push_back(std::move(sums));
  const bool somewhere_not_finite = is_group ? not_finite : ReadFlags(plan, shared);
  // Every worker knows it by now, and what is not finite is added to nothing.
  if (plan.plain_bytes < plan.bytes && !somewhere_not_finite) {
    if (!coded_) coded_ = std::make_unique<CodedExchange>(rank_, size_);
    coded_->Run(plan, shared, *this);
  }
  Copy(plan, shared);
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
      const uint64_t tag = TagOf(NextSequence(action.channel, action.peer), kPartials, 0);
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
  return SendMessage(peer, TagOf(sequence_, kCoded, phase), data, bytes);
}

std::unique_ptr<Message> GroupExchange::StartReceive(int peer, int phase, void* data,
                                                     size_t bytes) {
  return transport_->Receive(peer, TagOf(sequence_, kCoded, phase), data, bytes);
}

void GroupExchange::RunPlain(const ExchangePlan& plan, uint64_t sequence, std::byte* shared) {
  TreeSum common = TreeSum::OfCommon(plan, SizeOf(plan), OwnOf(plan));
  common.Ask(sequence, shared, staging_.data(), *this);
  common.Begin(*this);
  common.FinishTree(*this);
  common.End(*this);
}

// Those of a mesh are asked for when they run: who is in them goes through other things meanwhile.
void GroupExchange::Expect(std::span<const uint32_t> indices, std::byte* shared) {
  for (Sums& sums : expected_) {
    sums.sums.clear();
    spare_.push_back(std::move(sums));
  }
  expected_.clear();
  if (broken_.load()) return;
  for (const uint32_t index : indices) {
    if (!plans_[index].peers.empty()) continue;
    expected_.push_back(SpareSums(StagingOf(plans_[index])));
    AskForSums(index, shared, expected_.back());
  }
}

// Memory of sums of the same size is taken first.
GroupExchange::Sums GroupExchange::SpareSums(uint64_t staging_bytes) {
  if (spare_.empty()) return {};
  auto found = std::find_if(spare_.begin(), spare_.end(),
                            [&](const Sums& sums) { return sums.staging.size() == staging_bytes; });
  if (found == spare_.end()) --found;
  std::swap(*found, spare_.back());
  Sums sums = std::move(spare_.back());
  spare_.pop_back();
  return sums;
}

GroupExchange::Sums GroupExchange::BeginSums(uint32_t index, std::byte* shared) {
  Sums sums;
  if (!expected_.empty() && expected_.front().plan == index) {
    sums = std::move(expected_.front());
    expected_.pop_front();
  } else {
    sums = SpareSums(StagingOf(plans_[index]));
    AskForSums(index, shared, sums);
  }
  for (TreeSum& sum : sums.sums) sum.Begin(*this);
  return sums;
}

// What all need and what one alone needs, at the same time.
void GroupExchange::AskForSums(uint32_t index, std::byte* shared, Sums& sums) {
  const ExchangePlan& plan = plans_[index];
  sums.plan = index;
  sums.is_finished = false;
  sums.sums.clear();
  if (plan.has_owned()) sums.sums.push_back(TreeSum::OfOwned(plan, SizeOf(plan), OwnOf(plan)));
  sums.sums.push_back(TreeSum::OfCommon(plan, SizeOf(plan), OwnOf(plan)));
  sums.staging.resize(StagingOf(plan));
  std::byte* staging = sums.staging.data();
  for (TreeSum& sum : sums.sums) {
    sum.Ask(NextSequence(plan.channel, -1), shared, staging, *this);
    staging += sum.staging_bytes();
  }
}

void GroupExchange::FinishTrees(Sums& sums) {
  if (sums.is_finished) return;
  for (TreeSum& sum : sums.sums) sum.FinishTree(*this);
  sums.is_finished = true;
}

void GroupExchange::Copy(const ExchangePlan& plan, std::byte* shared) const {
  for (const ExchangePlan::Copy& copy : plan.copies) {
    std::memcpy(shared + copy.to, shared + copy.from, copy.bytes);
  }
}

// What stands side by side in memory goes in one message.
bool GroupExchange::Gather(uint32_t index, int64_t step, const runtime::StepValues& values,
                           bool not_finite) {
  const GatherPlan& plan = gathers_[index];
  Begin(index, step, plan.name);
  WriteFlags(plan.flags, values.shared(), not_finite);
  const uint64_t sequence = NextSequence(Channel::kAll, -1);
  struct Run {
    int owner;
    std::byte* begin;
    std::byte* end;
  };
  std::vector<Run> runs;
  for (const GatherPlan::Piece& piece : plan.pieces) {
    std::byte* state = values.State(piece.state);
    Run run = {piece.owner, state + piece.begin, state + piece.end};
    const bool joins = !runs.empty() && runs.back().owner == run.owner &&
                       runs.back().end <= run.begin &&
                       static_cast<uint64_t>(run.begin - runs.back().end) < AlignUp(1);
    if (joins) {
      runs.back().end = run.end;
    } else {
      runs.push_back(run);
    }
  }
  std::vector<Pending> messages;
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run& run = runs[i];
    const uint64_t tag = TagOf(sequence, kSums, static_cast<int>(i));
    const auto bytes = static_cast<size_t>(run.end - run.begin);
    for (int k = 1; k < size_; ++k) {
      const int peer = (rank_ + k) % size_;
      if (run.owner == rank_) {
        messages.push_back({SendMessage(peer, tag, run.begin, bytes), peer});
      } else if (run.owner == peer) {
        messages.push_back({transport_->Receive(peer, tag, run.begin, bytes), peer});
      }
    }
  }
  RunPlain(plan.flags, NextSequence(Channel::kAll, -1), values.shared());
  for (const Pending& pending : messages) WaitFor(*pending.message, pending.peer);
  const bool somewhere_not_finite = ReadFlags(plan.flags, values.shared());
  End();
  return somewhere_not_finite;
}

void GroupExchange::WriteFlags(const ExchangePlan& plan, std::byte* shared, bool not_finite) const {
  for (int s = 0; s < plan.subtrees_of(rank_); ++s) {
    float flags[kFlagFloats] = {};
    const size_t word = kNotFinite + static_cast<size_t>(rank_) / kRanksOfFlag;
    if (s == 0) {
      flags[kStops] = asks_to_stop_.load() ? 1 : 0;
      flags[kGathers] = asks_to_gather_.load() ? 1 : 0;
      flags[kRegroups] = asks_to_regroup_.load() ? 1 : 0;
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
  if (flags[kRegroups] > 0) agreed_to_regroup_.store(true);
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
  WaitFor(*SendMessage(peer, TagOf(0, kDirect, 0), data, bytes), peer);
}

void GroupExchange::SendToOthers(const void* data, size_t bytes) {
  for (int rank = 0; rank < size_; ++rank) {
    if (rank != rank_) Send(rank, data, bytes);
  }
}

void GroupExchange::Receive(int peer, void* data, size_t bytes) {
  if (bytes == 0) return;
  if (broken_.load()) ThrowBroken(-1, "");
  WaitFor(*transport_->Receive(peer, TagOf(0, kDirect, 0), data, bytes), peer);
}

}  // namespace ingot::dist
