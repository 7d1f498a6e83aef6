// Lines of "key=value" words, one answer for each.
#include "ingot/cli/pmi.h"

#include <map>
#include <optional>
#include <sstream>

#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/dist/wire.h"

namespace ingot::cli {
namespace {

constexpr size_t kLongestLine = 65536;

std::map<std::string, std::string> WordsOf(const std::string& line) {
  std::map<std::string, std::string> words;
  std::istringstream text(line);
  for (std::string word; text >> word;) {
    const size_t equals = word.find('=');
    if (equals != std::string::npos) words[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return words;
}

[[noreturn]] void ThrowNoPmi(const std::string& why) {
  throw Error(
      ErrorCode::kIo, "cannot meet the other processes over PMI: " + why,
      "set INGOT_RENDEZVOUS=tcp://HOST:PORT for all of them, HOST being one of the machines");
}

}  // namespace

Pmi::Pmi(int fd) : fd_(fd) {
  Ask("cmd=init pmi_version=1 pmi_subversion=1", "response_to_init", "rc");
}

Pmi::~Pmi() {
  try {
    Ask("cmd=finalize", "finalize_ack", "");
  } catch (const Error&) {
    // The launcher is gone, and everybody ends.
  }
}

std::string Pmi::Broadcast(int rank, const std::string& text) {
  const std::string space = Ask("cmd=get_my_kvsname", "my_kvsname", "kvsname");
  const std::string name = "kvsname=" + space + " key=ingot";
  if (rank == 0) Ask("cmd=put " + name + " value=" + dist::ToHex(text), "put_result", "rc");
  Ask("cmd=barrier_in", "barrier_out", "");
  return dist::FromHex(Ask("cmd=get " + name, "get_result", "value"));
}

std::string Pmi::Ask(const std::string& line, const std::string& command, const std::string& key) {
  const std::string sent = line + "\n";
  if (::write(fd_.get(), sent.data(), sent.size()) != static_cast<ssize_t>(sent.size())) {
    ThrowNoPmi("the launcher does not listen");
  }
  const std::optional<std::string> answer = ReadLine(fd_.get(), kLongestLine);
  if (!answer) ThrowNoPmi("the launcher has closed the connection, or answers too much");
  std::map<std::string, std::string> words = WordsOf(*answer);
  const bool failed = words.contains("rc") && words["rc"] != "0";
  if (words["cmd"] != command || failed || (!key.empty() && !words.contains(key))) {
    ThrowNoPmi("the launcher answers '" + *answer + "' to '" + line.substr(0, line.find(' ')) +
               "'");
  }
  return key.empty() ? "" : words[key];
}

}  // namespace ingot::cli
