// Getting MNIST with its progress shown.
#pragma once

#include <functional>
#include <string>

#include "ingot/cli/program.h"

namespace ingot::cli {

// Where the files are after data::AcquireMnist; `cache` in place of the user's cache folder, "" for
// that. Throws what AcquireMnist throws.
std::string GetMnist(const std::string& cache, const Streams& streams, bool quiet);

// The same as a function, for jobs that turn out to need the files.
std::function<std::string()> MnistFinder(const Streams& streams, bool quiet);

}  // namespace ingot::cli
