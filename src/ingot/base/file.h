// Files: reading them whole or mapped, writing them through an interface that tests can make fail,
// and replacing a file atomically.
//
// Every failure is an Error that names the operation, the path and the system's reason: kNotFound
// where a file to be read does not exist (the hint names the nearest file in its folder),
// kInvalidInput where it is a folder, else kIo (with a hint for a full disk and for missing
// permission).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

// A whole file mapped into memory, read only; a pipe is read to its end. Empty files are allowed.
// Move-only; the bytes live as long as the object. Reading is safe from any number of threads.
// Where another program truncates the file meanwhile, access to what is gone ends the process
// (SIGBUS): do not map files that are being written.
class MappedFile {
 public:
  // Throws Error(kNotFound) or Error(kIo).
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const;
  size_t size() const { return size_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The whole of a file (or pipe) as bytes. Throws Error(kNotFound) or Error(kIo).
std::string ReadFile(const std::string& path);

class Error;

// The Error for a failed operation: "cannot OPERATION 'PATH': REASON". `error_number` is errno's.
// Where `reading`: kNotFound for ENOENT, kInvalidInput for EISDIR; else kIo.
Error FileError(std::string_view operation, const std::string& path, int error_number,
                bool reading = false);

// A file being written, from its first byte. Not safe for use by several threads at once.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  // Appends all of the bytes. Throws Error(kIo).
  virtual void Write(std::string_view bytes) = 0;
  // Waits until what was written is on the disk. Throws Error(kIo).
  virtual void Sync() = 0;
  // Throws Error(kIo). A file that is destroyed without it is closed with errors ignored.
  virtual void Close() = 0;
};

// What writing needs of a file system. Implementations are safe for use by several threads.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // With parents; an existing folder is fine. Throws Error(kIo).
  virtual void CreateDirectories(const std::string& path) = 0;
  // Creates the file or empties it. Throws Error(kIo).
  virtual std::unique_ptr<WritableFile> OpenForWrite(const std::string& path) = 0;
  // Replaces `to` where it exists (as rename(2) does). Throws Error(kIo).
  virtual void Rename(const std::string& from, const std::string& to) = 0;
  // Waits until the names in a folder are on the disk. Throws Error(kIo).
  virtual void SyncDirectory(const std::string& path) = 0;
  // A file, or a folder with all that is in it; links are not followed; nothing there is fine.
  // Throws Error(kIo).
  virtual void RemoveAll(const std::string& path) = 0;
  // The names in a folder, sorted. Throws Error(kNotFound) or Error(kIo).
  virtual std::vector<std::string> List(const std::string& path) = 0;
  virtual bool Exists(const std::string& path) = 0;
  // Bytes. Throws Error(kNotFound) or Error(kIo).
  virtual uint64_t FileSize(const std::string& path) = 0;
};

// The file system of the machine. It has no state, so that one object serves everyone.
FileSystem& RealFileSystem();

// After this `name` holds `bytes` and survives a crash, or an Error was thrown and `name` is as it
// was (what the last step, the sync of the folder, leaves open: it then holds one or the other,
// whole). Written to a temporary beside it, synced, renamed; the folder must exist. A device or a
// pipe is written to directly; a symbolic link stays, and the file it points to is replaced.
// `through`: the folder, on the same file system, in which the new file is written before it takes
// its place; "": the file's own. Where it is gone, nothing is replaced.
void WriteFileAtomically(FileSystem& file_system, const std::string& name, std::string_view bytes,
                         const std::string& through = "");

// "a/b/c.txt" -> "a/b"; "c.txt" -> "."; "/c" -> "/".
std::string ParentDirectory(const std::string& path);

}  // namespace ingot
