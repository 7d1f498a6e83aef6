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

}  // namespace ingot
