// Program: the command line `ingot VERB ...`. Each verb is a class in a file of its own in verbs/,
// which registers itself by a function that the build finds by its name:
//
//   // verbs/info.cc
//   class Info : public Verb { ... };
//   void AddInfo(Program& program) { program.Add<Info>({.name = "info", ...}); }
//
// A verb is made, and its options are declared, only when it is called: starting costs nothing.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingot/cli/options.h"

namespace ingot::cli {

// Where a verb prints: results to `out`, everything else to `err`. Not owned.
struct Streams {
  std::FILE* out = stdout;
  std::FILE* err = stderr;

  void Out(std::string_view text) const { std::fwrite(text.data(), 1, text.size(), out); }
  void Err(std::string_view text) const { std::fwrite(text.data(), 1, text.size(), err); }
};

// The exit statuses of Ingot.
inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;      // the work failed: a full disk, NaN, no memory
inline constexpr int kWrongInput = 2;  // what was given is wrong: usage, job file, data, model
inline constexpr int kInterrupted = 130;

class Verb {
 public:
  virtual ~Verb() = default;
  virtual void Declare(Options& options) = 0;
  // Returns the exit status. Errors are thrown.
  virtual int Run(const Streams& streams) = 0;
};

class Program {
 public:
  using Maker = std::function<std::unique_ptr<Verb>()>;

  template <typename V>
  void Add(VerbHelp help) {
    verbs_.emplace_back(std::move(help), [] { return std::make_unique<V>(); });
  }

  // A verb that another program beside this one does; it gets the verb and all that follows.
  void AddExternal(VerbHelp help, std::string program) {
    externals_.emplace_back(std::move(help), std::move(program));
  }

  // Runs the verb that `arguments` (without the program's name) begin with, and returns the exit
  // status. Everything that is thrown ends here: "error: ..." and "hint: ..." on streams.err.
  int Run(const std::vector<std::string>& arguments, const Streams& streams) const;

 private:
  int Dispatch(const std::vector<std::string>& arguments, const Streams& streams) const;
  int RunVerb(const VerbHelp& help, const Maker& make, const std::vector<std::string>& arguments,
              const Streams& streams) const;
  std::string Overview() const;

  std::vector<std::pair<VerbHelp, Maker>> verbs_;
  std::vector<std::pair<VerbHelp, std::string>> externals_;
};

// All of Ingot's verbs, in the order of their names.
Program StandardProgram();

// As CMakeLists.txt has it (a test compares them).
inline constexpr const char* kVersion = "0.1.0";

}  // namespace ingot::cli
