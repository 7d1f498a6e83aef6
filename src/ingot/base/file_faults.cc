// A file system that fails where a test says.
#include "ingot/base/file_faults.h"

#include <utility>

#include "ingot/base/error.h"

namespace ingot {

class FaultyWritableFile : public WritableFile {
 public:
  FaultyWritableFile(FaultyFileSystem& owner, std::string path, std::unique_ptr<WritableFile> base)
      : owner_(owner), path_(std::move(path)), base_(std::move(base)) {}

  void Write(std::string_view bytes) override {
    bool first = false;
    if (!owner_.Fails(Fault::Kind::kWrite, &first)) return base_->Write(bytes);
    if (first && owner_.fault_.cut_short) base_->Write(bytes.substr(0, bytes.size() / 2));
    throw FileError("write to", path_, owner_.fault_.error_number);
  }

  void Sync() override {
    owner_.Pass(Fault::Kind::kSync, "sync", path_);
    base_->Sync();
  }

  void Close() override {
    owner_.Pass(Fault::Kind::kAny, "close", path_);
    base_->Close();
  }

 private:
  FaultyFileSystem& owner_;
  std::string path_;
  std::unique_ptr<WritableFile> base_;
};

bool FaultyFileSystem::Fails(Fault::Kind kind, bool* first) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const size_t number = counts_[static_cast<size_t>(kind)]++;
  const bool is_any = kind == Fault::Kind::kAny;
  const size_t any = is_any ? number : counts_[static_cast<size_t>(Fault::Kind::kAny)]++;
  const bool hit = (fault_.kind == kind && number == fault_.at) ||
                   (fault_.kind == Fault::Kind::kAny && any == fault_.at);
  const bool is_after_crash = fault_.crash && has_failed_;
  if (first != nullptr) *first = hit && !is_after_crash;
  has_failed_ = has_failed_ || hit;
  return hit || is_after_crash;
}

void FaultyFileSystem::Pass(Fault::Kind kind, std::string_view operation, const std::string& path) {
  if (Fails(kind)) throw FileError(operation, path, fault_.error_number);
}

void FaultyFileSystem::CreateDirectories(const std::string& path) {
  Pass(Fault::Kind::kAny, "create the folder", path);
  base_.CreateDirectories(path);
}

std::unique_ptr<WritableFile> FaultyFileSystem::OpenForWrite(const std::string& path) {
  Pass(Fault::Kind::kOpen, "open for writing", path);
  return std::make_unique<FaultyWritableFile>(*this, path, base_.OpenForWrite(path));
}

void FaultyFileSystem::Rename(const std::string& from, const std::string& to) {
  Pass(Fault::Kind::kRename, "rename to '" + to + "' the file", from);
  base_.Rename(from, to);
}

void FaultyFileSystem::SyncDirectory(const std::string& path) {
  Pass(Fault::Kind::kSync, "sync the folder", path);
  base_.SyncDirectory(path);
}

void FaultyFileSystem::RemoveAll(const std::string& path) {
  Pass(Fault::Kind::kAny, "remove", path);
  base_.RemoveAll(path);
}

size_t FaultyFileSystem::Count(Fault::Kind kind) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return counts_[static_cast<size_t>(kind)];
}

bool FaultyFileSystem::has_failed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return has_failed_;
}

}  // namespace ingot
