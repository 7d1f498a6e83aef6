// The reference of everything that a job file may say, generated from the option tables.
#pragma once

#include <string>

namespace ingot::cli {

// As plain text for terminals, or as Markdown: docs/job-file.md is this.
std::string JobReference(bool markdown);

}  // namespace ingot::cli
