// FileDescriptor: see file_descriptor.h.
#include "ingot/base/file_descriptor.h"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"

namespace ingot {

void FileDescriptor::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Pipe MakePipe() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) throw FileError("make", "a pipe", errno);
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

std::optional<std::string> ReadLine(int fd, size_t longest) {
  std::string line;
  while (true) {
    char c = 0;
    const ssize_t got = ::read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    if (c == '\n') return line;
    if (line.size() == longest) return std::nullopt;
    line += c;
  }
}

}  // namespace ingot
