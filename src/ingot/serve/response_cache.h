// ResponseCache: answers to requests that came before, least recently used first out.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "ingot/serve/job.h"

namespace ingot::serve {

// Safe for use by several threads.
class ResponseCache {
 public:
  explicit ResponseCache(uint64_t limit_bytes) : limit_(limit_bytes) {}

  // The whole of what decides the answer: model, version, inputs and wanted outputs.
  static std::string KeyOf(const InferJob& job);
  // Fills the job's outputs.
  bool Find(const std::string& key, InferJob& job);
  // Keeps copies; nothing where they take more than a tenth of the limit.
  void Insert(const std::string& key, const InferJob& job);

  struct Numbers {
    uint64_t hits = 0, misses = 0, evictions = 0, entries = 0, bytes = 0, limit = 0;
  };
  Numbers numbers() const;

 private:
  struct Entry {
    std::string key;
    // Who gave the answer. A model that is loaded again has the same name, and may have the same
    // address; its answers are others.
    std::weak_ptr<const ServedModel> model;
    std::vector<InferOutput> outputs;
    uint64_t bytes = 0;
  };
  void Erase(std::list<Entry>::iterator entry);

  const uint64_t limit_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> index_;
  Numbers numbers_;
};

}  // namespace ingot::serve
