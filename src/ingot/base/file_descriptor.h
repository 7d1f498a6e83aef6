// FileDescriptor: a number by which the system knows an open file, a pipe or a socket. Pipes, and
// lines that come through them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace ingot {

// Closes what it holds. Move-only.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Close();
  // What is returned is the caller's to close.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct Pipe {
  FileDescriptor reads;
  FileDescriptor writes;
};

// Other programs do not inherit it. Throws Error(kIo).
Pipe MakePipe();

// The next line, without its end; read byte by byte, since what follows may be for another reader.
// Nothing where what comes ends before the line does, or the line is longer than `longest`.
std::optional<std::string> ReadLine(int fd, size_t longest);

}  // namespace ingot
