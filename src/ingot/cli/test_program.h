// Running the program inside a test, with what it prints in strings.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "ingot/cli/program.h"

namespace ingot::cli {

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

// A temporary file whose contents are read back.
class Capture {
 public:
  Capture() : file_(std::tmpfile(), &std::fclose) {}
  std::FILE* file() const { return file_.get(); }
  std::string Text() const {
    std::fflush(file_.get());
    std::rewind(file_.get());
    std::string text;
    char buffer[4096];
    for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), file_.get())) > 0;) {
      text.append(buffer, n);
    }
    return text;
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

inline Outcome RunProgram(const std::vector<std::string>& arguments,
                          const Program& program = StandardProgram()) {
  const Capture out;
  const Capture err;
  Outcome outcome;
  outcome.status = program.Run(arguments, {out.file(), err.file()});
  outcome.out = out.Text();
  outcome.err = err.Text();
  return outcome;
}

}  // namespace ingot::cli
