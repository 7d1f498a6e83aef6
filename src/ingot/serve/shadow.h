// ShadowTraffic: a share of a model's requests goes to another version as well; its answers are
// compared with those that the clients get, and thrown away.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ingot/serve/job.h"

namespace ingot::serve {

class Repository;

// A version and a share of the requests, from "VERSION:PERCENT".
struct TrafficSplit {
  int64_t version = 0;  // 0: none
  double percent = 0;
  // Whether request number `k` (from 0) is one of the share, evenly spread.
  bool Takes(uint64_t k) const;
};
// Throws Error(kInvalidInput) that names the key of config.pbtxt.
TrafficSplit ParseSplit(const std::string& key, const std::string& text);

// Safe for use by several threads.
class ShadowTraffic : public std::enable_shared_from_this<ShadowTraffic> {
 public:
  explicit ShadowTraffic(const TrafficSplit& split) : split_(split) {}

  // Perhaps sends a copy of the checked job; then the job's `shadow` is set.
  void Begin(const JobPtr& job, Repository& repository);

  struct Report {
    int64_t version = 0;
    double percent = 0;
    uint64_t requests = 0, failed = 0, different = 0;
    double max_difference = 0;  // absolute, of all numbers of all outputs
  };
  Report report() const;

 private:
  friend class ShadowPair;
  void Add(bool failed, double difference);

  const TrafficSplit split_;
  mutable std::mutex mutex_;
  uint64_t seen_ = 0;
  Report report_;
};

// The two answers to one request; compared when both are there.
class ShadowPair {
 public:
  explicit ShadowPair(std::shared_ptr<ShadowTraffic> traffic) : traffic_(std::move(traffic)) {}
  // Called once for each of the two.
  void Give(const InferJob& job, bool shadow);

 private:
  const std::shared_ptr<ShadowTraffic> traffic_;
  std::mutex mutex_;
  bool one_is_there_ = false, failed_ = false, clients_failed_ = false;
  std::vector<InferOutput> outputs_;
};

}  // namespace ingot::serve
