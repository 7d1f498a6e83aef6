// Options on CLI11, which does the splitting into options and values and lays out the help. This is
// the only file that includes it: it takes seconds to compile.
#include "ingot/cli/options.h"

#include <algorithm>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::cli {
namespace {

constexpr size_t kHelpColumn = 26;

[[noreturn]] void Fail(const std::string& message, const std::string& hint = "") {
  throw Error(ErrorCode::kInvalidInput, message, hint);
}

int64_t ParseNumber(const std::string& name, const std::string& text, int64_t least) {
  const std::optional<int64_t> value = ParseWhole<int64_t>(text);
  if (!value || *value < least) {
    Fail(name + ": expected a whole number of " + std::to_string(least) + " or more, got '" + text +
         "'");
  }
  return *value;
}

double ParseReal(const std::string& name, const std::string& text, double least, double most) {
  const std::optional<double> value = ParseWhole<double>(text);
  if (!value || !(*value >= least) || !(*value <= most)) {
    Fail(fmt::format("{}: expected a number from {} to {}, got '{}'", name, FormatNumber(least),
                     FormatNumber(most), text));
  }
  return *value;
}

void CheckChoice(const std::string& name, const std::string& text,
                 const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return;
  Fail(name + ": expected one of " + Join(choices, ", ") + ", got '" + text + "'",
       Nearest(text, choices).empty() ? "" : DidYouMean(text, choices));
}

}  // namespace

struct Options::State {
  VerbHelp verb;
  CLI::App app;
  struct Required {
    const CLI::Option* option;
    std::string name;
    std::string help;
  };
  std::vector<Required> required;
  std::vector<std::string> names = {"--help"};

  CLI::Option* Add(const std::string& name, const std::string& metavariable,
                   const std::string& help,
                   const std::function<void(const std::vector<std::string>&)>& store);
};

// CLI11's own conversions have terse messages, so that it only hands over the texts.
CLI::Option* Options::State::Add(
    const std::string& name, const std::string& metavariable, const std::string& help,
    const std::function<void(const std::vector<std::string>&)>& store) {
  CLI::Option* option = app.add_option(
      name,
      [store](const CLI::results_t& texts) {
        store(texts);
        return true;
      },
      help);
  option->type_name(metavariable)->type_size(1)->expected(1);
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  // "-o,--out" has two names.
  for (const std::string& one : Split(name, ',')) {
    if (one.starts_with("-")) names.push_back(one);
  }
  return option;
}

Options::Options(const VerbHelp& verb) : state_(std::make_unique<State>()) {
  state_->verb = verb;
  CLI::App& app = state_->app;
  app.name("ingot " + verb.name);
  app.description("ingot " + verb.name + ": " + verb.summary + "." +
                  (verb.details.empty() ? "" : "\n\n" + verb.details) + "\n");
  app.set_help_flag("-h,--help", "show this help");
  app.allow_extras();
  app.get_formatter()->column_width(kHelpColumn);
}

Options::~Options() = default;

void Options::Positional(const std::string& name, std::string* value, const std::string& help,
                         bool required) {
  CLI::Option* option = state_->Add(
      name, "", help, [value](const std::vector<std::string>& texts) { *value = texts.back(); });
  if (required) state_->required.push_back({option, name, help});
}

void Options::Positionals(const std::string& name, std::vector<std::string>* values,
                          const std::string& help) {
  CLI::Option* option = state_->Add(
      name, "", help, [values](const std::vector<std::string>& texts) { *values = texts; });
  option->expected(-1);
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  state_->required.push_back({option, name, help});
}

void Options::PositionalChoice(const std::string& name, std::string* value, const std::string& help,
                               const std::vector<std::string>& choices) {
  CLI::Option* option = state_->Add(name, "", help + ": " + Join(choices, " or "),
                                    [=](const std::vector<std::string>& texts) {
                                      CheckChoice(name, texts.back(), choices);
                                      *value = texts.back();
                                    });
  state_->required.push_back({option, name, help + ": " + Join(choices, " or ")});
}

void Options::Text(const std::string& name, std::string* value, const std::string& metavariable,
                   const std::string& help) {
  state_->Add(name, metavariable, help, [name, value](const std::vector<std::string>& texts) {
    if (texts.back().empty()) Fail(name + ": the value is empty");
    *value = texts.back();
  });
}

void Options::Choice(const std::string& name, std::string* value, const std::string& help,
                     const std::vector<std::string>& choices) {
  state_->Add(name, Join(choices, "|"), help, [=](const std::vector<std::string>& texts) {
    CheckChoice(name, texts.back(), choices);
    *value = texts.back();
  });
}

void Options::Number(const std::string& name, std::optional<int64_t>* value,
                     const std::string& metavariable, const std::string& help, int64_t least) {
  state_->Add(name, metavariable, help, [=](const std::vector<std::string>& texts) {
    *value = ParseNumber(name, texts.back(), least);
  });
}

void Options::Threads(std::optional<int64_t>* value, const std::string& help) {
  state_->Add("--threads", "N", help, [=](const std::vector<std::string>& texts) {
    *value = ParseNumber("--threads", texts.back(), 1);
    if (**value > kMostThreads) {
      Fail("--threads: expected 1 to " + std::to_string(kMostThreads) + ", got " + texts.back());
    }
  });
}

void Options::Real(const std::string& name, std::optional<double>* value,
                   const std::string& metavariable, const std::string& help, double least,
                   double most) {
  state_->Add(name, metavariable, help, [=](const std::vector<std::string>& texts) {
    *value = ParseReal(name, texts.back(), least, most);
  });
}

void Options::Texts(const std::string& name, std::vector<std::string>* values,
                    const std::string& metavariable, const std::string& help) {
  CLI::Option* option =
      state_->Add(name, metavariable, help + " (any number of times)",
                  [values](const std::vector<std::string>& texts) { *values = texts; });
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void Options::Flag(const std::string& name, bool* value, const std::string& help) {
  state_->app.add_flag_callback(
      name, [value] { *value = true; }, help);
  state_->names.push_back(name);
}

Options::Parsed Options::Parse(const std::vector<std::string>& arguments) {
  const std::string verb = "ingot " + state_->verb.name;
  const std::string hint = "see `" + verb + " --help`";
  try {
    // CLI11 takes the arguments from the back.
    state_->app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return Parsed::kHelp;
  } catch (const CLI::ArgumentMismatch&) {
    // The option at the end of the line, or before another one, that has no value.
    for (auto it = arguments.rbegin(); it != arguments.rend(); ++it) {
      const auto& names = state_->names;
      if (std::find(names.begin(), names.end(), *it) != names.end())
        Fail(*it + " needs a value", hint);
    }
    Fail("an option of `" + verb + "` needs a value", hint);
  } catch (const CLI::ParseError& error) {
    Fail(error.what(), hint);
  }
  for (const std::string& extra : state_->app.remaining()) {
    if (extra == "--") continue;
    if (!extra.starts_with("-") || extra == "-") {
      Fail(fmt::format("unexpected argument '{}' for `{}`", extra, verb), hint);
    }
    const std::string name = extra.substr(0, extra.find('='));
    Fail(fmt::format("unknown option '{}' for `{}`", name, verb),
         Nearest(name, state_->names).empty() ? hint : DidYouMean(name, state_->names));
  }
  for (const State::Required& required : state_->required) {
    if (required.option->count() > 0) continue;
    Fail(fmt::format("`{}` needs {} ({})", verb, required.name, required.help), hint);
  }
  return Parsed::kRun;
}

std::string Options::Help() const {
  std::string text = state_->app.help();
  // CLI11 does not know what is needed, and puts it all into brackets.
  for (const State::Required& required : state_->required) {
    const size_t at = text.find("[" + required.name + "]");
    if (at != std::string::npos) text.replace(at, required.name.size() + 2, required.name);
  }
  while (text.ends_with("\n\n")) text.pop_back();
  text += "\nExample:\n";
  for (const std::string& line : Split(state_->verb.example, '\n')) text += "  " + line + "\n";
  return text;
}

}  // namespace ingot::cli
