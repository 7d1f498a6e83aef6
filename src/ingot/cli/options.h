// Options: what a verb takes on its command line, declared in one place with its help.
//
//   void Declare(Options& options) override {
//     options.Positional("JOB", &job_, "the job file");
//     options.Threads(&threads_, "threads");
//     options.Flag("--json", &json_, "for programs");
//   }
//
// The names of options begin with "--" ("-o,--out" has a short one too); a value follows as "--out
// DIR" or "--out=DIR". Faults are Error(kInvalidInput) that name the option, what was given and
// what was expected.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ingot::cli {

// What is said about a verb.
struct VerbHelp {
  std::string name;     // "train"
  std::string summary;  // one line, without a full stop
  std::string details;  // paragraphs for --help; may be empty
  std::string example;  // one command a line
};

// Not safe for use by several threads. The variables must outlive the object.
class Options {
 public:
  explicit Options(const VerbHelp& verb);
  ~Options();
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  // Positional arguments are taken in the order of their declaration; those that must be given come
  // first.
  void Positional(const std::string& name, std::string* value, const std::string& help,
                  bool required = true);
  // One or more, up to the first option; declared last.
  void Positionals(const std::string& name, std::vector<std::string>* values,
                   const std::string& help);
  void PositionalChoice(const std::string& name, std::string* value, const std::string& help,
                        const std::vector<std::string>& choices);
  // `metavariable` stands for the value in the help: "DIR".
  void Text(const std::string& name, std::string* value, const std::string& metavariable,
            const std::string& help);
  void Choice(const std::string& name, std::string* value, const std::string& help,
              const std::vector<std::string>& choices);
  void Number(const std::string& name, std::optional<int64_t>* value,
              const std::string& metavariable, const std::string& help, int64_t least);
  // --threads: a whole number, 1 to kMostThreads.
  static constexpr int64_t kMostThreads = 1024;
  void Threads(std::optional<int64_t>* value, const std::string& help);
  // A finite number in [least, most].
  void Real(const std::string& name, std::optional<double>* value, const std::string& metavariable,
            const std::string& help, double least, double most);
  // May be given several times.
  void Texts(const std::string& name, std::vector<std::string>* values,
             const std::string& metavariable, const std::string& help);
  void Flag(const std::string& name, bool* value, const std::string& help);

  enum class Parsed { kRun, kHelp };
  // `arguments` without program and verb. kHelp where --help or -h is among them: then nothing was
  // checked or stored. Throws Error(kInvalidInput) with the nearest spelling for an unknown option.
  Parsed Parse(const std::vector<std::string>& arguments);

  // The text of --help.
  std::string Help() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ingot::cli
