// FaultyFileSystem: a file system for tests that fails at a chosen operation, as a full disk, a
// broken disk or a crash would.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/base/file.h"

namespace ingot {

// What goes wrong, and where.
struct Fault {
  enum class Kind {
    kOpen,    // OpenForWrite
    kWrite,   // WritableFile::Write
    kSync,    // WritableFile::Sync and SyncDirectory
    kRename,  // Rename
    kAny,     // every operation that changes something, also CreateDirectories, Close, RemoveAll
  };
  Kind kind = Kind::kAny;
  size_t at = 0;         // the operation of this kind that fails, counted from 0
  int error_number = 5;  // EIO; ENOSPC for a full disk
  // The machine stops there: this and everything after it fails, and nothing is changed any more
  // (not even by cleaning up).
  bool crash = false;
  // A Write that fails still writes the first half of its bytes.
  bool cut_short = false;
};

// Passes everything on to another file system but for the fault. Safe for use by several threads.
// `base` must outlive it and the files that it opened.
class FaultyFileSystem : public FileSystem {
 public:
  FaultyFileSystem(FileSystem& base, Fault fault) : base_(base), fault_(fault) {}

  void CreateDirectories(const std::string& path) override;
  std::unique_ptr<WritableFile> OpenForWrite(const std::string& path) override;
  void Rename(const std::string& from, const std::string& to) override;
  void SyncDirectory(const std::string& path) override;
  void RemoveAll(const std::string& path) override;
  std::vector<std::string> List(const std::string& path) override { return base_.List(path); }
  bool Exists(const std::string& path) override { return base_.Exists(path); }
  uint64_t FileSize(const std::string& path) override { return base_.FileSize(path); }

  // How many operations of a kind there were so far: a run without a fault (`at` beyond the end)
  // tells a test how many places there are to fail at.
  size_t Count(Fault::Kind kind) const;
  bool has_failed() const;

 private:
  friend class FaultyWritableFile;
  // Counts an operation; true where it has to fail. `first` tells whether it is the fault itself
  // (and not what follows a crash).
  bool Fails(Fault::Kind kind, bool* first = nullptr);
  // Counts an operation and throws where it has to fail.
  void Pass(Fault::Kind kind, std::string_view operation, const std::string& path);

  FileSystem& base_;
  const Fault fault_;
  mutable std::mutex mutex_;
  std::vector<size_t> counts_ = std::vector<size_t>(5, 0);
  bool has_failed_ = false;
};

}  // namespace ingot
