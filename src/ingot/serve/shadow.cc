// Copies of requests, and the comparison of answers.
#include "ingot/serve/shadow.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "ingot/serve/repository.h"
#include "ingot/serve/served_model.h"

namespace ingot::serve {
namespace {

class ShadowJob : public InferJob {
 public:
  explicit ShadowJob(std::shared_ptr<ShadowPair> pair) : pair_(std::move(pair)) {}
  void Finish() override { pair_->Give(*this, true); }

 private:
  const std::shared_ptr<ShadowPair> pair_;
};

// The greatest difference of any two numbers; infinite where shapes, types or strings differ.
double Difference(const std::vector<InferOutput>& a, const std::vector<InferOutput>& b) {
  constexpr double kOther = HUGE_VAL;
  if (a.size() != b.size()) return kOther;
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].name != b[i].name || a[i].dtype != b[i].dtype || a[i].dims != b[i].dims ||
        a[i].bytes.size() != b[i].bytes.size()) {
      return kOther;
    }
    if (std::equal(a[i].bytes.begin(), a[i].bytes.end(), b[i].bytes.begin())) continue;
    if (a[i].dtype == DType::kString) return kOther;
    const size_t count = a[i].bytes.size() / ItemSize(a[i].dtype);
    std::vector<double> x(count), y(count);
    ConvertElements(a[i].bytes.data(), a[i].dtype, x.data(), DType::kF64,
                    static_cast<int64_t>(count));
    ConvertElements(b[i].bytes.data(), b[i].dtype, y.data(), DType::kF64,
                    static_cast<int64_t>(count));
    for (size_t k = 0; k < count; ++k) {
      if (std::isnan(x[k]) != std::isnan(y[k])) return kOther;
      if (!std::isnan(x[k]) && x[k] != y[k]) most = std::max(most, std::fabs(x[k] - y[k]));
    }
  }
  return most;
}

}  // namespace

bool TrafficSplit::Takes(uint64_t k) const {
  const auto passed = [&](uint64_t n) {
    return static_cast<uint64_t>(static_cast<double>(n) * percent / 100);
  };
  return version > 0 && passed(k + 1) > passed(k);
}

TrafficSplit ParseSplit(const std::string& key, const std::string& text) {
  TrafficSplit split;
  if (text.empty()) return split;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%ld:%lf%c", &split.version, &split.percent, &rest) != 2 ||
      split.version < 1 || !(split.percent >= 0 && split.percent <= 100)) {
    ThrowInvalid("config.pbtxt: parameter " + key + " '" + text +
                 "', expected VERSION:PERCENT, such as 2:10");
  }
  return split;
}

void ShadowTraffic::Begin(const JobPtr& job, Repository& repository) {
  {
    const std::scoped_lock lock(mutex_);
    if (!split_.Takes(seen_++)) return;
  }
  Status status;
  const auto model = repository.Find(job->model->name, std::to_string(split_.version), status);
  if (model == nullptr || model == job->model) return;
  const auto pair = std::make_shared<ShadowPair>(shared_from_this());
  const auto copy = std::make_shared<ShadowJob>(pair);
  copy->model = model;
  copy->inputs = job->inputs;
  for (InferInput& input : copy->inputs) {
    // The client's answer does not wait for the shadow, and its connection then reads the next
    // request into the memory of this one.
    const auto own =
        std::make_shared<const std::vector<std::byte>>(input.bytes.begin(), input.bytes.end());
    input.bytes = *own;
    input.owner = own;
  }
  for (const WantedOutput& wanted : job->wanted) copy->wanted.emplace_back().name = wanted.name;
  copy->times.received = Clock::now();
  if (!model->Check(*copy).ok()) return;
  job->shadow = pair;
  model->scheduler->Submit(copy);
}

ShadowTraffic::Report ShadowTraffic::report() const {
  const std::scoped_lock lock(mutex_);
  Report report = report_;
  report.version = split_.version;
  report.percent = split_.percent;
  return report;
}

void ShadowTraffic::Add(bool failed, double difference) {
  const std::scoped_lock lock(mutex_);
  ++report_.requests;
  if (failed) {
    ++report_.failed;
  } else if (difference > 0) {
    ++report_.different;
    report_.max_difference = std::max(report_.max_difference, difference);
  }
}

void ShadowPair::Give(const InferJob& job, bool shadow) {
  std::vector<InferOutput> first;
  {
    const std::scoped_lock lock(mutex_);
    (shadow ? failed_ : clients_failed_) = !job.status.ok();
    if (!one_is_there_) {
      one_is_there_ = true;
      outputs_ = job.outputs;
      return;
    }
    first.swap(outputs_);
  }
  if (clients_failed_) return;  // nothing to compare with
  traffic_->Add(failed_, failed_ ? 0 : Difference(first, job.outputs));
}

}  // namespace ingot::serve
