// Answers kept by what was asked.
#include "ingot/serve/response_cache.h"

#include <cstring>
#include <iterator>

#include "ingot/base/sha256.h"
#include "ingot/serve/served_model.h"

namespace ingot::serve {
namespace {

void AppendText(std::string_view text, std::string& out) {
  out += std::to_string(text.size());
  out += ':';
  out += text;
}

}  // namespace

std::string ResponseCache::KeyOf(const InferJob& job) {
  std::string key;
  AppendText(job.model->name, key);
  key += std::to_string(job.model->version) + ";";
  for (const InferInput& input : job.inputs) {
    AppendText(input.name, key);
    key += input.dims.ToString();
    Sha256 hash;
    hash.Update(input.bytes);
    key += hash.FinishHex();
  }
  for (const WantedOutput& wanted : job.wanted) AppendText(wanted.name, key);
  return key;
}

bool ResponseCache::Find(const std::string& key, InferJob& job) {
  const std::scoped_lock lock(mutex_);
  const auto found = index_.find(key);
  const bool known = found != index_.end();
  if (!known || found->second->model.lock() != job.model) {
    if (known) Erase(found->second);
    ++numbers_.misses;
    return false;
  }
  ++numbers_.hits;
  entries_.splice(entries_.begin(), entries_, found->second);
  job.outputs = found->second->outputs;
  for (InferOutput& output : job.outputs) {
    output.wanted = nullptr;
    for (const WantedOutput& wanted : job.wanted) {
      if (wanted.name == output.name) output.wanted = &wanted;
    }
  }
  return true;
}

void ResponseCache::Insert(const std::string& key, const InferJob& job) {
  Entry entry;
  entry.key = key;
  entry.model = job.model;
  entry.bytes = key.size();
  for (const InferOutput& output : job.outputs) entry.bytes += output.bytes.size() + 128;
  if (entry.bytes > limit_ / 10) return;
  for (const InferOutput& output : job.outputs) {
    InferOutput copy = output;
    const std::shared_ptr<std::byte> bytes = AllocateBytes(output.bytes.size());
    if (!output.bytes.empty()) std::memcpy(bytes.get(), output.bytes.data(), output.bytes.size());
    copy.bytes = {bytes.get(), output.bytes.size()};
    copy.owner = bytes;
    copy.wanted = nullptr;
    entry.outputs.push_back(std::move(copy));
  }
  const std::scoped_lock lock(mutex_);
  if (const auto found = index_.find(key); found != index_.end()) {
    if (found->second->model.lock() == job.model) return;
    Erase(found->second);
  }
  numbers_.bytes += entry.bytes;
  entries_.push_front(std::move(entry));
  index_.emplace(entries_.front().key, entries_.begin());
  while (numbers_.bytes > limit_) {
    Erase(std::prev(entries_.end()));
    ++numbers_.evictions;
  }
}

void ResponseCache::Erase(std::list<Entry>::iterator entry) {
  numbers_.bytes -= entry->bytes;
  index_.erase(entry->key);
  entries_.erase(entry);
}

ResponseCache::Numbers ResponseCache::numbers() const {
  const std::scoped_lock lock(mutex_);
  Numbers numbers = numbers_;
  numbers.entries = entries_.size();
  numbers.limit = limit_;
  return numbers;
}

}  // namespace ingot::serve
