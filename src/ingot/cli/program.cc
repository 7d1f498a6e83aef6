// Finds the verb, runs it, and turns whatever goes wrong into a message and an exit status.
#include "ingot/cli/program.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>
#include <map>
#include <new>

#include <fmt/core.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::cli {

#define INGOT_DECLARE(function) void function(Program& program);
#include "ingot/cli/generated_list.inc"
#undef INGOT_DECLARE

Program StandardProgram() {
  Program program;
#define INGOT_DECLARE(function) function(program);
#include "ingot/cli/generated_list.inc"
#undef INGOT_DECLARE
  return program;
}

namespace {

// Results that did not reach their reader are a failure, as for `cat`.
void FlushOutput(const Streams& streams) {
  const bool failed = std::ferror(streams.out) != 0;
  if (std::fflush(streams.out) == 0 && !failed) return;
  throw Error(ErrorCode::kIo,
              std::string("cannot write the output: ") + std::strerror(errno != 0 ? errno : EIO));
}

// Never returns: this process goes on as the program, which lies beside this one.
[[noreturn]] void BecomeProgram(const std::string& program, const std::string& verb,
                                const std::vector<std::string>& arguments) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string path = (self.parent_path() / program).string();
  std::vector<char*> words = {const_cast<char*>(program.c_str()), const_cast<char*>(verb.c_str())};
  for (const std::string& argument : arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  ::execv(path.c_str(), words.data());
  const int fault = errno;
  if (fault == ENOENT) {
    throw Error(ErrorCode::kUnsupported,
                "`ingot " + verb + "` is not part of this build: '" + path + "' does not exist",
                "it needs Boost, OpenSSL, nghttp2 and protobuf when Ingot is built; ./dev setup "
                "installs them");
  }
  throw Error(ErrorCode::kIo, "cannot start '" + path + "': " + std::strerror(fault));
}

void Report(const Streams& streams, const std::string& message, const std::string& hint = "") {
  streams.Err("error: " + message + "\n");
  if (!hint.empty()) streams.Err("hint: " + hint + "\n");
  std::fflush(streams.err);
}

}  // namespace

int Program::Run(const std::vector<std::string>& arguments, const Streams& streams) const {
  try {
    const int status = Dispatch(arguments, streams);
    FlushOutput(streams);
    return status;
  } catch (const Error& error) {
    std::fflush(streams.out);
    if (error.code() == ErrorCode::kInternal) {
      Report(streams, "a defect of Ingot: " + error.message(), error.hint());
    } else {
      Report(streams, error.message(), error.hint());
    }
    return ExitStatus(error.code());
  } catch (const std::bad_alloc&) {
    const bool trains = !arguments.empty() && (arguments[0] == "train" || arguments[0] == "launch");
    Report(streams, "out of memory",
           trains ? "a smaller batch (--set data.batch=...) or fewer --threads need less"
                  : "fewer samples at once or fewer --threads need less");
    return kFailed;
  } catch (const std::exception& error) {
    Report(streams, std::string("a defect of Ingot: ") + error.what());
    return kFailed;
  }
}

int Program::Dispatch(const std::vector<std::string>& arguments, const Streams& streams) const {
  if (arguments.empty()) {
    streams.Err(Overview());
    return kWrongInput;
  }
  std::string verb = arguments[0];
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (verb == "--version" || verb == "-V") {
    streams.Out(std::string("ingot ") + kVersion + "\n");
    return kOk;
  }
  if (verb == "help" && !rest.empty()) {
    verb = rest[0];
    rest = {"--help"};
  }
  if (verb == "help" || verb == "--help" || verb == "-h") {
    streams.Out(Overview());
    return kOk;
  }
  std::vector<std::string> names = {"help"};
  for (const auto& [help, program] : externals_) {
    if (help.name == verb) BecomeProgram(program, verb, rest);
    names.push_back(help.name);
  }
  for (const auto& [help, make] : verbs_) {
    if (help.name == verb) return RunVerb(help, make, rest, streams);
    names.push_back(help.name);
  }
  if (verb.starts_with("-")) {
    const std::vector<std::string> options = {"--help", "--version"};
    throw Error(ErrorCode::kInvalidInput, "unknown option '" + verb + "' before the verb",
                Nearest(verb, options).empty()
                    ? "options come after the verb: ingot train --threads 2"
                    : DidYouMean(verb, options));
  }
  throw Error(ErrorCode::kInvalidInput, "unknown verb '" + verb + "'", DidYouMean(verb, names));
}

int Program::RunVerb(const VerbHelp& help, const Maker& make,
                     const std::vector<std::string>& arguments, const Streams& streams) const {
  const std::unique_ptr<Verb> verb = make();
  Options options(help);
  verb->Declare(options);
  if (options.Parse(arguments) == Options::Parsed::kHelp) {
    streams.Out(options.Help());
    return kOk;
  }
  return verb->Run(streams);
}

std::string Program::Overview() const {
  std::string text =
      "Ingot: from data to a trained model.\n\nUsage: ingot VERB [ARGUMENTS]\n\nVerbs:\n";
  size_t width = 0;
  std::map<std::string, std::string> summaries;
  for (const auto& verb : verbs_) summaries[verb.first.name] = verb.first.summary;
  for (const auto& verb : externals_) summaries[verb.first.name] = verb.first.summary;
  for (const auto& [name, summary] : summaries) width = std::max(width, name.size());
  for (const auto& [name, summary] : summaries) {
    text += fmt::format("  {:<{}}  {}\n", name, width, summary);
  }
  text +=
      "\n`ingot VERB --help` says more about a verb, `ingot --version` which Ingot this is.\n"
      "\nExample:\n"
      "  ingot train examples/mnist/mnist.yaml --out runs/mnist\n";
  return text;
}

}  // namespace ingot::cli
