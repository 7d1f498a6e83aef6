// Mapped files, atomic writes, error texts, injected faults.
#include "ingot/base/file.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file_faults.h"
#include "ingot/base/test_folder.h"

namespace ingot {
namespace {

template <typename Function>
Error ErrorOf(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kInternal, "no error");
}

void Put(const std::string& path, std::string_view bytes) {
  const auto file = RealFileSystem().OpenForWrite(path);
  file->Write(bytes);
  file->Close();
}

TEST(FileTest, ReadsWhatWasWritten) {
  const TestFolder folder;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{100'000}}) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(i * 31);
    Put(folder / "file", bytes);
    EXPECT_EQ(ReadFile(folder / "file"), bytes);
    EXPECT_EQ(RealFileSystem().FileSize(folder / "file"), size);
    const MappedFile mapped(folder / "file");
    EXPECT_EQ(mapped.text(), bytes);
    EXPECT_EQ(mapped.bytes().size(), size);
  }
  EXPECT_FALSE(ReadFile("/proc/self/stat").empty());  // says that its size is 0
}

TEST(FileTest, APipeIsMappedToItsEnd) {
  const TestFolder folder;
  const std::string path = folder / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const std::string text(100'000, 'x');
  std::thread writer([&] { std::ofstream(path) << text; });
  const MappedFile mapped(path);
  writer.join();
  EXPECT_EQ(mapped.text(), text);
}

TEST(FileTest, MappedFilesMove) {
  const TestFolder folder;
  Put(folder / "a", "first");
  Put(folder / "b", "second");
  MappedFile a(folder / "a");
  MappedFile moved(std::move(a));
  EXPECT_EQ(moved.text(), "first");
  moved = MappedFile(folder / "b");
  EXPECT_EQ(moved.text(), "second");
  EXPECT_EQ(moved.path(), folder / "b");
}

TEST(FileTest, MissingFilesGetTheNearestName) {
  const TestFolder folder;
  Put(folder / "train-images.idx", "");
  for (const bool mapped : {false, true}) {
    const Error error = ErrorOf([&] {
      const std::string path = folder / "train-image.idx";
      mapped ? static_cast<void>(MappedFile(path)) : static_cast<void>(ReadFile(path));
    });
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_EQ(error.message(),
              "cannot read '" + (folder / "train-image.idx") + "': No such file or directory");
    EXPECT_EQ(error.hint(), "did you mean '" + (folder / "train-images.idx") + "'?");
  }
  EXPECT_EQ(ErrorOf([&] { ReadFile(folder / "quite-different"); }).hint(), "");
  EXPECT_EQ(ErrorOf([&] { ReadFile(folder / "none/file"); }).hint(),
            "the folder '" + (folder / "none") + "' does not exist");
}

TEST(FileTest, FoldersAreNotFiles) {
  const TestFolder folder;
  const Error error = ErrorOf([&] { ReadFile(folder.path()); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
  EXPECT_EQ(error.message(), "cannot read '" + folder.path() + "': Is a directory");
}

TEST(FileTest, ErrorsCarryHints) {
  EXPECT_EQ(FileError("write to", "x", ENOSPC).message(),
            "cannot write to 'x': No space left on device");
  EXPECT_EQ(FileError("write to", "x", ENOSPC).hint(),
            "the disk or quota is full: free some space, or choose another folder");
  EXPECT_EQ(FileError("write to", "x", EACCES).hint(),
            "check the permissions of the folder, or choose another one");
  EXPECT_EQ(FileError("read", "x", EACCES, true).hint(),
            "check the permissions of the file and its folders");
  EXPECT_EQ(FileError("write to", "x", EIO).code(), ErrorCode::kIo);
  // A missing folder is no mistake in a name when writing.
  EXPECT_EQ(FileError("open for writing", "x", ENOENT).code(), ErrorCode::kIo);
}

TEST(FileTest, FullDisksAreReported) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  const auto file = RealFileSystem().OpenForWrite("/dev/full");
  const Error error = ErrorOf([&] { file->Write("x"); });
  EXPECT_EQ(error.message(), "cannot write to '/dev/full': No space left on device");
}

TEST(FileTest, FileSystemOperations) {
  const TestFolder folder;
  FileSystem& files = RealFileSystem();
  files.CreateDirectories(folder / "a/b/c");
  files.CreateDirectories(folder / "a/b/c");
  Put(folder / "a/b/file", "x");
  EXPECT_EQ(files.List(folder / "a/b"), (std::vector<std::string>{"c", "file"}));
  EXPECT_TRUE(files.Exists(folder / "a/b/file"));
  files.Rename(folder / "a/b/file", folder / "a/b/c/file");
  files.SyncDirectory(folder / "a/b");
  EXPECT_FALSE(files.Exists(folder / "a/b/file"));
  EXPECT_EQ(ReadFile(folder / "a/b/c/file"), "x");
  files.RemoveAll(folder / "a");
  EXPECT_FALSE(files.Exists(folder / "a"));
  files.RemoveAll(folder / "a");  // nothing there is fine

  EXPECT_EQ(ErrorOf([&] { files.List(folder / "a"); }).code(), ErrorCode::kNotFound);
  EXPECT_EQ(ErrorOf([&] { files.FileSize(folder / "a"); }).code(), ErrorCode::kNotFound);
  EXPECT_EQ(ErrorOf([&] { files.Rename(folder / "x", folder / "y"); }).message(),
            "cannot rename to '" + (folder / "y") + "' the file '" + (folder / "x") +
                "': No such file or directory");
  Put(folder / "plain", "");
  EXPECT_EQ(ErrorOf([&] { files.CreateDirectories(folder / "plain"); }).code(), ErrorCode::kIo);
  EXPECT_EQ(ErrorOf([&] { files.CreateDirectories(folder / "plain/sub"); }).message(),
            "cannot create the folder '" + (folder / "plain/sub") + "': Not a directory");
}

TEST(FileTest, UnwritableFoldersAreReported) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const TestFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0500), 0);
  const Error error = ErrorOf([&] { Put(folder / "file", "x"); });
  EXPECT_EQ(error.message(),
            "cannot open for writing '" + (folder / "file") + "': Permission denied");
  EXPECT_EQ(error.hint(), "check the permissions of the folder, or choose another one");
}

TEST(FileTest, AtomicWriteReplaces) {
  const TestFolder folder;
  WriteFileAtomically(RealFileSystem(), folder / "f", "one");
  WriteFileAtomically(RealFileSystem(), folder / "f", "two");
  EXPECT_EQ(ReadFile(folder / "f"), "two");
  EXPECT_EQ(RealFileSystem().List(folder.path()), std::vector<std::string>{"f"});
}

TEST(FileTest, AtomicWriteNamesTheFileThatWasAskedFor) {
  const TestFolder folder;
  const std::string lost = folder / "absent/out.csv";
  const Error error = ErrorOf([&] { WriteFileAtomically(RealFileSystem(), lost, "x"); });
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_EQ(error.message(),
            "cannot write '" + lost + "': the folder '" + (folder / "absent") + "' does not exist");
  FaultyFileSystem files(RealFileSystem(),
                         {.kind = Fault::Kind::kWrite, .at = 0, .error_number = ENOSPC});
  EXPECT_EQ(ErrorOf([&] { WriteFileAtomically(files, folder / "f", "x"); }).message(),
            "cannot write to '" + (folder / "f") + "': No space left on device");
}

// The file is whole, old or new, wherever an operation fails or the machine stops.
TEST(FileTest, AtomicWriteKeepsLinks) {
  const TestFolder folder;
  std::filesystem::create_directory(folder / "elsewhere");
  WriteFileAtomically(RealFileSystem(), folder / "elsewhere/file", "old");
  std::filesystem::create_symlink("elsewhere/file", folder / "link");
  std::filesystem::create_symlink("link", folder / "link to the link");
  WriteFileAtomically(RealFileSystem(), folder / "link to the link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link to the link"));
  EXPECT_EQ(ReadFile(folder / "elsewhere/file"), "new");

  std::filesystem::create_symlink("absent", folder / "dangling");
  WriteFileAtomically(RealFileSystem(), folder / "dangling", "made");
  EXPECT_EQ(ReadFile(folder / "absent"), "made");

  std::filesystem::create_symlink("circle", folder / "circle");
  EXPECT_THROW(WriteFileAtomically(RealFileSystem(), folder / "circle", "x"), Error);
}

TEST(FileTest, AtomicWriteIsWholeAtEveryFault) {
  for (const bool crash : {false, true}) {
    for (const bool cut_short : {false, true}) {
      size_t at = 0;
      for (bool failed = true; failed; ++at) {
        ASSERT_LT(at, 100u);
        const TestFolder folder;
        Put(folder / "f", "old contents");
        FaultyFileSystem files(RealFileSystem(), {.kind = Fault::Kind::kAny,
                                                  .at = at,
                                                  .error_number = ENOSPC,
                                                  .crash = crash,
                                                  .cut_short = cut_short});
        const Error error =
            ErrorOf([&] { WriteFileAtomically(files, folder / "f", "new contents"); });
        failed = files.has_failed();
        const std::string now = ReadFile(folder / "f");
        if (failed) {
          EXPECT_EQ(error.code(), ErrorCode::kIo);
          EXPECT_TRUE(now == "old contents" || now == "new contents") << at << ": " << now;
        } else {
          EXPECT_EQ(now, "new contents");
        }
        // What is left over is removed, unless the machine stopped before it could be.
        if (!crash) {
          EXPECT_EQ(RealFileSystem().List(folder.path()), std::vector<std::string>{"f"});
        }
      }
      EXPECT_EQ(at, 7u);  // open, write, sync, close, rename, sync of the folder; then none
    }
  }
}

TEST(FileFaultsTest, FailsAtTheChosenOperation) {
  const TestFolder folder;
  FaultyFileSystem files(RealFileSystem(),
                         {.kind = Fault::Kind::kWrite, .at = 1, .error_number = EIO});
  const auto file = files.OpenForWrite(folder / "f");
  file->Write("one");
  EXPECT_EQ(ErrorOf([&] { file->Write("two"); }).message(),
            "cannot write to '" + (folder / "f") + "': Input/output error");
  file->Write("three");
  file->Sync();
  file->Close();
  EXPECT_EQ(ReadFile(folder / "f"), "onethree");
  EXPECT_EQ(files.Count(Fault::Kind::kWrite), 3u);
  EXPECT_EQ(files.Count(Fault::Kind::kSync), 1u);
  EXPECT_EQ(files.Count(Fault::Kind::kOpen), 1u);
  EXPECT_EQ(files.Count(Fault::Kind::kAny), 6u);
}

TEST(FileFaultsTest, ACrashStopsEverythingAndMayCutAWrite) {
  const TestFolder folder;
  FaultyFileSystem files(RealFileSystem(),
                         {.kind = Fault::Kind::kWrite, .at = 0, .crash = true, .cut_short = true});
  const auto file = files.OpenForWrite(folder / "f");
  EXPECT_THROW(file->Write("12345678"), Error);
  EXPECT_THROW(file->Write("more"), Error);
  EXPECT_THROW(file->Sync(), Error);
  EXPECT_THROW(files.RemoveAll(folder / "f"), Error);
  EXPECT_THROW(files.Rename(folder / "f", folder / "g"), Error);
  EXPECT_EQ(ReadFile(folder / "f"), "1234");
}

TEST(FileTest, ParentDirectories) {
  EXPECT_EQ(ParentDirectory("a/b/c.txt"), "a/b");
  EXPECT_EQ(ParentDirectory("c.txt"), ".");
  EXPECT_EQ(ParentDirectory("/c"), "/");
}

}  // namespace
}  // namespace ingot
