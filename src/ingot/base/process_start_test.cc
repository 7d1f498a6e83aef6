// A process with closed streams and a limit on the size of files, each in a child.
#include "ingot/base/process_start.h"

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingot/base/test_folder.h"

namespace ingot {
namespace {

// The exit status of a child that does this.
template <typename Do>
int StatusOf(Do act) {
  const pid_t child = ::fork();
  if (child == 0) std::_Exit(act());
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ProcessStart, ClosedStreamsAreNotGivenToFiles) {
  const TestFolder folder;
  const std::string path = folder.path() + "/file";
  EXPECT_EQ(StatusOf([&] {
              for (int descriptor = 0; descriptor < 3; ++descriptor) ::close(descriptor);
              PrepareProcess();
              return ::open(path.c_str(), O_CREAT | O_WRONLY, 0600) >= 3 ? 0 : 1;
            }),
            0);
}

TEST(ProcessStart, AFileBeyondTheLimitIsAnError) {
  const TestFolder folder;
  const std::string path = folder.path() + "/file";
  EXPECT_EQ(StatusOf([&] {
              PrepareProcess();
              const rlimit limit = {1, 1};
              ::setrlimit(RLIMIT_FSIZE, &limit);
              const int file = ::open(path.c_str(), O_CREAT | O_WRONLY, 0600);
              if (::write(file, "ab", 2) != 1) return 10;
              return ::write(file, "c", 1) < 0 && errno == EFBIG ? 0 : 11;
            }),
            0);
}

}  // namespace
}  // namespace ingot
