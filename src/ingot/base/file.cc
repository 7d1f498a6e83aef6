// Files through POSIX calls, with errors that name path, operation and reason.
#include "ingot/base/file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file_descriptor.h"
#include "ingot/base/text.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

FileDescriptor OpenRetrying(const std::string& path, int flags, mode_t mode = 0) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return FileDescriptor(fd);
}

// Opens for reading and refuses folders, which open(2) does not.
FileDescriptor OpenForRead(const std::string& path, struct stat& status) {
  FileDescriptor file = OpenRetrying(path, O_RDONLY);
  if (!file.valid()) throw FileError("read", path, errno, true);
  if (::fstat(file.get(), &status) != 0) throw FileError("read", path, errno, true);
  if (S_ISDIR(status.st_mode)) throw FileError("read", path, EISDIR, true);
  return file;
}

// What is left in the file; `expected` bytes are awaited, which need not be right.
std::string ReadToEnd(const FileDescriptor& file, size_t expected, const std::string& path) {
  std::string bytes;
  size_t used = 0;
  // One byte more than expected, so that one read finds the end; pipes and /proc say size 0.
  bytes.resize(std::max<size_t>(expected + 1, 4096));
  while (true) {
    const ssize_t got = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw FileError("read", path, errno, true);
    if (got == 0) break;
    used += static_cast<size_t>(got);
    if (used == bytes.size()) bytes.resize(2 * bytes.size());
  }
  bytes.resize(used);
  return bytes;
}

// The name in the folder of `path` that a person may have meant; "" where there is none.
std::string NearestFile(const std::string& path) {
  std::error_code ignored;
  std::vector<std::string> names;
  constexpr size_t kEnough = 10'000;
  fs::directory_iterator it(ParentDirectory(path), ignored);
  for (; !ignored && it != fs::directory_iterator() && names.size() < kEnough;
       it.increment(ignored)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return Nearest(fs::path(path).filename().string(), names);
}

std::string MissingHint(const std::string& path) {
  const std::string parent = ParentDirectory(path);
  std::error_code ignored;
  if (!fs::is_directory(parent, ignored)) return "the folder '" + parent + "' does not exist";
  const std::string nearest = NearestFile(path);
  if (nearest.empty()) return "";
  return "did you mean '" + (parent == "." ? nearest : (fs::path(parent) / nearest).string()) +
         "'?";
}

class PosixWritableFile : public WritableFile {
 public:
  PosixWritableFile(std::string path, FileDescriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}

  void Write(std::string_view bytes) override {
    INGOT_ASSERT(file_.valid(), "write to the closed file " + path_);
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw FileError("write to", path_, errno);
      bytes.remove_prefix(static_cast<size_t>(written));
    }
  }

  void Sync() override {
    INGOT_ASSERT(file_.valid(), "sync of the closed file " + path_);
    if (::fsync(file_.get()) != 0) throw FileError("sync", path_, errno);
  }

  void Close() override {
    const int fd = file_.Release();
    // EINTR leaves the descriptor closed on Linux.
    if (fd >= 0 && ::close(fd) != 0 && errno != EINTR) throw FileError("close", path_, errno);
  }

 private:
  std::string path_;
  FileDescriptor file_;
};

class PosixFileSystem : public FileSystem {
 public:
  void CreateDirectories(const std::string& path) override {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) throw FileError("create the folder", path, error.value());
    // create_directories takes an existing file for success in some versions.
    if (!fs::is_directory(path, error)) throw FileError("create the folder", path, ENOTDIR);
  }

  std::unique_ptr<WritableFile> OpenForWrite(const std::string& path) override {
    FileDescriptor file = OpenRetrying(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (!file.valid()) throw FileError("open for writing", path, errno);
    return std::make_unique<PosixWritableFile>(path, std::move(file));
  }

  void Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      throw FileError("rename to '" + to + "' the file", from, errno);
    }
  }

  void SyncDirectory(const std::string& path) override {
    const FileDescriptor folder = OpenRetrying(path, O_RDONLY | O_DIRECTORY);
    if (!folder.valid()) throw FileError("open the folder", path, errno);
    // Some network file systems do not know fsync of a folder, and need none.
    if (::fsync(folder.get()) != 0 && errno != EINVAL) {
      throw FileError("sync the folder", path, errno);
    }
  }

  void RemoveAll(const std::string& path) override {
    std::error_code error;
    fs::remove_all(path, error);
    if (error) throw FileError("remove", path, error.value());
  }

  std::vector<std::string> List(const std::string& path) override {
    std::error_code error;
    std::vector<std::string> names;
    fs::directory_iterator it(path, error);
    for (; !error && it != fs::directory_iterator(); it.increment(error)) {
      names.push_back(it->path().filename().string());
    }
    if (error) throw FileError("list the folder", path, error.value(), true);
    std::sort(names.begin(), names.end());
    return names;
  }

  bool Exists(const std::string& path) override {
    std::error_code ignored;
    return fs::exists(path, ignored);
  }

  uint64_t FileSize(const std::string& path) override {
    std::error_code error;
    const uintmax_t size = fs::file_size(path, error);
    if (error) throw FileError("read the size of", path, error.value(), true);
    return size;
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  struct stat status;
  const FileDescriptor file = OpenForRead(path, status);
  const bool is_file = S_ISREG(status.st_mode);
  const std::string piped = is_file ? "" : ReadToEnd(file, 0, path);
  size_ = is_file ? static_cast<size_t>(status.st_size) : piped.size();
  if (size_ == 0) return;  // mmap refuses a length of 0
  void* data =
      is_file ? ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0)
              : ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw FileError("map", path, errno, true);
  if (!is_file) std::memcpy(data, piped.data(), size_);
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

std::string_view MappedFile::text() const {
  return {reinterpret_cast<const char*>(data_), size_};
}

std::string ReadFile(const std::string& path) {
  struct stat status;
  const FileDescriptor file = OpenForRead(path, status);
  return ReadToEnd(file, static_cast<size_t>(status.st_size), path);
}

Error FileError(std::string_view operation, const std::string& path, int error_number,
                bool reading) {
  const bool is_missing = reading && (error_number == ENOENT || error_number == ENOTDIR);
  std::string hint;
  if (is_missing) hint = MissingHint(path);
  if (error_number == ENOSPC || error_number == EDQUOT) {
    hint = "the disk or quota is full: free some space, or choose another folder";
  }
  if (error_number == EACCES || error_number == EPERM || error_number == EROFS) {
    hint = reading ? "check the permissions of the file and its folders"
                   : "check the permissions of the folder, or choose another one";
  }
  ErrorCode code = ErrorCode::kIo;
  if (is_missing) code = ErrorCode::kNotFound;
  if (reading && error_number == EISDIR) {
    code = ErrorCode::kInvalidInput;
    hint = "it is a folder: give a file";
  }
  return Error(code,
               "cannot " + std::string(operation) + " '" + path +
                   "': " + std::generic_category().message(error_number),
               hint);
}

FileSystem& RealFileSystem() {
  static PosixFileSystem file_system;
  return file_system;
}

namespace {

// The file that a path stands for: what a symbolic link, or a chain of them, points to, which need
// not exist.
std::string FollowLinks(const std::string& path) {
  std::string target = path;
  std::error_code error;
  constexpr int kMostLinks = 40;  // as the system follows
  for (int i = 0; fs::is_symlink(fs::symlink_status(target, error)); ++i) {
    if (i == kMostLinks) throw FileError("follow the link", path, ELOOP);
    const fs::path next = fs::read_symlink(target, error);
    if (error) throw FileError("read the link", target, error.value());
    target = (fs::path(ParentDirectory(target)) / next).string();
  }
  return target;
}

void RequireFolder(const std::string& folder, const std::string& name) {
  std::error_code ignored;
  if (fs::status(folder, ignored).type() != fs::file_type::not_found) return;
  throw Error(ErrorCode::kIo,
              "cannot write '" + name + "': the folder '" + folder + "' does not exist",
              "make the folder first, or choose another one");
}

// The error of a temporary file, as one of the file that it was to become.
Error NamingFile(const Error& error, const std::string& temporary, const std::string& name) {
  std::string message = error.message();
  const size_t at = message.find("'" + temporary + "'");
  if (at != std::string::npos) message.replace(at + 1, temporary.size(), name);
  return Error(error.code(), message, error.hint());
}

}  // namespace

void WriteFileAtomically(FileSystem& file_system, const std::string& name, std::string_view bytes,
                         const std::string& through) {
  // A device or a pipe is written to as it is: a rename would put a plain file in its place.
  std::error_code ignored;
  const fs::file_status there = fs::status(name, ignored);
  if (fs::exists(there) && !fs::is_regular_file(there) && !fs::is_directory(there)) {
    const std::unique_ptr<WritableFile> device = file_system.OpenForWrite(name);
    device->Write(bytes);
    device->Close();
    return;
  }
  const std::string path = FollowLinks(name);
  if (through.empty()) RequireFolder(ParentDirectory(path), name);
  // Unique in this machine, so that two writers of one path do not share a temporary.
  static std::atomic<uint64_t> counter{0};
  const std::string beside =
      through.empty() ? path : through + "/" + fs::path(path).filename().string();
  const std::string temporary = beside + ".tmp-" + std::to_string(::getpid()) + "-" +
                                std::to_string(counter.fetch_add(1, std::memory_order_relaxed));
  try {
    const std::unique_ptr<WritableFile> file = file_system.OpenForWrite(temporary);
    file->Write(bytes);
    file->Sync();
    file->Close();
    file_system.Rename(temporary, path);
  } catch (const Error& error) {
    try {
      file_system.RemoveAll(temporary);
    } catch (const Error&) {
      // The first error is the one that matters.
    }
    throw NamingFile(error, temporary, name);
  }
  file_system.SyncDirectory(ParentDirectory(path));
}

std::string ParentDirectory(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

}  // namespace ingot
