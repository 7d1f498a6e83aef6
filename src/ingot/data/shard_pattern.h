// Names of several files in one text: "train-{000..015}.tar", "{a,b}/*.tar".
#pragma once

#include <string>
#include <vector>

namespace ingot::data {

// Braces first: {000..015} counts, with as many digits as its beginning has, {a,b} lists; they may
// stand inside of each other. Then *, ? and [...] match names of files that are there, sorted.
// Throws Error: kInvalidInput for unclosed braces and more than a million names, kNotFound where a
// pattern matches nothing. Names without wildcards are not looked for.
std::vector<std::string> ExpandPattern(const std::string& pattern);

}  // namespace ingot::data
