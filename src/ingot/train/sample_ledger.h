// SampleLedger: `samples.jsonl`, on request: which samples each step used, and which rank computed
// them. One line for each step that was done, in order:
//   {"step": 17, "epoch": 0, "group": 3, "samples": [5, 81, ...], "ranks": [[0, 64], [2, 64]]}
// "step" and "epoch" count from 0; "ranks" says how many of the samples, in their order, each rank
// computed; "group" is the number of the group of workers.
#pragma once

#include <cstdint>
#include <deque>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

namespace ingot::train {

// Every worker adds every step; the one that leads has the file open. Not safe for several threads.
class SampleLedger {
 public:
  void Add(int64_t step, std::string line);
  // Lines of step `next_step` and later go, whole ones before it stay, and what this worker knows
  // and the file lacks is added. `through`: of WriteFileAtomically. Throws Error(kIo).
  void Open(const std::string& path, int64_t next_step, const std::string& through = "");
  void Close() { file_.reset(); }

  // The newest lines, for a worker that takes up the state behind them: it may lead next, and a
  // lead that was cut off from the others may have added them to a file that another has replaced.
  const std::deque<std::pair<int64_t, std::string>>& recent() const { return recent_; }
  void SetRecent(std::deque<std::pair<int64_t, std::string>> lines) { recent_ = std::move(lines); }

 private:
  void Write(const std::string& line);

  std::string path_;
  std::unique_ptr<std::ofstream> file_;
  std::deque<std::pair<int64_t, std::string>> recent_;
};

}  // namespace ingot::train
