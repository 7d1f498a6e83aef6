// What stands in a file or in a folder of IDX files.
#pragma once

#include <string>

namespace ingot::cli {

// For a folder: both halves, and how many samples each class has. For a file (IDX, npy, PNG, or
// CSV): type, shape and range of values, columns. Throws Error: kNotFound for what does not exist,
// kUnsupported for other files, and what the readers throw.
std::string DataInfoText(const std::string& path);
std::string DataInfoJson(const std::string& path);

// The text as a JSON string, quotes included; bytes that are not UTF-8 are replaced.
std::string JsonText(const std::string& text);

}  // namespace ingot::cli
