// A line for each place that is tried, and a live line with the bytes that have arrived.
#include "ingot/cli/mnist.h"

#include <cstdint>

#include "ingot/base/progress.h"
#include "ingot/base/text.h"
#include "ingot/data/mnist_download.h"

namespace ingot::cli {

std::string GetMnist(const std::string& cache, const Streams& streams, bool quiet) {
  data::MnistOptions options = data::MnistOptionsFromEnvironment();
  if (!cache.empty()) options.folder = cache + "/mnist";
  Progress progress("", 0, 0, {.out = quiet ? nullptr : streams.err});
  std::string step;
  options.progress = [&](const data::DownloadProgress& now) {
    if (now.step != step) {
      step = now.step;
      progress.SetTitle("getting MNIST");
      progress.Print("getting MNIST: " + step);
    }
    progress.Update(static_cast<int64_t>(now.bytes), {{HumanBytes(now.bytes), ""}});
  };
  return data::AcquireMnist(options);
}

std::function<std::string()> MnistFinder(const Streams& streams, bool quiet) {
  return [streams, quiet] { return GetMnist("", streams, quiet); };
}

}  // namespace ingot::cli
