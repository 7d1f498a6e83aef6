// Environment variables of schedulers, and the rendezvous.
#include "ingot/cli/group_environment.h"

#include <charconv>
#include <initializer_list>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/cli/program.h"
#include "ingot/dist/tcp_store.h"

namespace ingot::cli {
namespace {

std::optional<double> Number(const std::string& name, double least) {
  const std::optional<std::string> text = GetEnvironment(name);
  if (!text) return std::nullopt;
  double value = 0;
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (failed != std::errc() || end != text->data() + text->size() || value < least) {
    throw Error(ErrorCode::kInvalidInput, "the environment has " + name + "=" + *text +
                                              ", expected a number of " +
                                              std::to_string(static_cast<int>(least)) + " or more");
  }
  return value;
}

std::optional<int> First(std::initializer_list<const char*> names, double least) {
  for (const char* name : names) {
    if (const auto value = Number(name, least)) return static_cast<int>(*value);
  }
  return std::nullopt;
}

std::string Token() {
  if (const auto token = GetEnvironment("INGOT_TOKEN")) return *token;
  const auto file = GetEnvironment("INGOT_TOKEN_FILE");
  if (!file) return "";
  std::string token = ReadFile(*file);
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  return token;
}

constexpr std::string_view kFile = "file://";
constexpr std::string_view kTcp = "tcp://";

dist::Endpoint ParseEndpoint(const std::string& url, std::string_view text) {
  const size_t colon = text.rfind(':');
  int port = 0;
  if (colon != std::string_view::npos) {
    std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
  }
  if (colon == 0 || port < 1 || port > 65535) {
    throw Error(ErrorCode::kInvalidInput, "'" + url + "' is no address of a rendezvous",
                "name host and port: tcp://10.0.0.1:29400");
  }
  std::string host(text.substr(0, colon));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return {host, port};
}

// A port that all processes of a job derive alike from its name.
int PortOf(const std::string& job) {
  uint32_t hash = 2166136261u;
  for (const char c : job) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return 20000 + static_cast<int>(hash % 12000);
}

// "node[03-07],other" -> "node03".
std::string FirstNode(const std::string& list) {
  const size_t bracket = list.find('[');
  const size_t comma = list.find(',');
  if (bracket == std::string::npos || comma < bracket) return list.substr(0, comma);
  const size_t end = list.find_first_of("-,]", bracket);
  return list.substr(0, bracket) + list.substr(bracket + 1, end - bracket - 1);
}

// Where the workers of a launcher's job meet; "" where it does not say.
std::string RendezvousOfLauncher() {
  if (const auto url = GetEnvironment("INGOT_RENDEZVOUS")) return *url;
  const auto address = GetEnvironment("MASTER_ADDR");
  const auto port = First({"MASTER_PORT"}, 1);
  if (address && port) {
    // torchrun itself listens at that port.
    const bool taken = GetEnvironment("TORCHELASTIC_RUN_ID").has_value();
    return fmt::format("tcp://{}:{}", *address, *port + (taken ? 1 : 0));
  }
  if (GetEnvironment("OMPI_COMM_WORLD_SIZE")) {
    const bool one_machine =
        GetEnvironment("OMPI_COMM_WORLD_LOCAL_SIZE") == GetEnvironment("OMPI_COMM_WORLD_SIZE");
    const auto job = GetEnvironment("PMIX_NAMESPACE");
    if (one_machine) return fmt::format("tcp://127.0.0.1:{}", PortOf(job.value_or("mpirun")));
    return "";
  }
  if (GetEnvironment("SLURM_STEP_NUM_TASKS")) {
    const auto nodes = GetEnvironment("SLURM_STEP_NODELIST");
    const std::string job = GetEnvironment("SLURM_JOB_ID").value_or("") + "." +
                            GetEnvironment("SLURM_STEP_ID").value_or("");
    if (nodes) return fmt::format("tcp://{}:{}", FirstNode(*nodes), PortOf(job));
    return "";
  }
  if (const auto job = GetEnvironment("PMI_PORT")) {
    return fmt::format("tcp://{}:{}", job->substr(0, job->rfind(':')), PortOf(*job));
  }
  return "";
}

// Of processes that a launcher started together. SLURM_NTASKS alone is also set in a batch script,
// which is one process: the step says how many there are.
std::optional<int> WorkersOfLauncher() {
  return First({"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "PMI_SIZE"}, 1);
}

}  // namespace

train::GroupRequest ReadGroupEnvironment() {
  train::GroupRequest group;
  group.version = kVersion;
  group.token = Token();
  group.slot = First({"INGOT_RANK", "RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "PMI_RANK"}, 0)
                   .value_or(-1);
  group.expected_workers = WorkersOfLauncher().value_or(1);
  group.host = GetEnvironment("INGOT_HOST").value_or("");
  group.transport = GetEnvironment("INGOT_TRANSPORT").value_or("gloo");
  group.timing.beat = Number("INGOT_BEAT_SECONDS", 0).value_or(group.timing.beat);
  group.timing.silence = Number("INGOT_SILENCE_SECONDS", 0).value_or(group.timing.silence);
  group.timing.late = Number("INGOT_LATE_SECONDS", 0).value_or(group.timing.late);
  group.timing.start = Number("INGOT_START_SECONDS", 0).value_or(group.timing.start);
  return group;
}

void OpenRendezvous(const std::string& url, train::GroupRequest& group) {
  if (url.starts_with(kFile) && url.size() > kFile.size()) {
    group.store = std::make_shared<dist::FileStore>(url.substr(kFile.size()));
    if (group.host.empty()) group.host = "127.0.0.1";
    return;
  }
  if (url.starts_with(kTcp)) {
    const dist::Endpoint server = ParseEndpoint(url, std::string_view(url).substr(kTcp.size()));
    group.store = std::make_shared<dist::TcpStore>(server, group.token);
    if (group.host.empty()) group.host = dist::AddressTowards(server);
    if (!group.host.empty()) return;
    throw Error(ErrorCode::kInvalidInput,
                "the host of the rendezvous '" + url + "' is not known here");
  }
  throw Error(ErrorCode::kInvalidInput,
              url.empty() ? "`ingot worker` needs --rendezvous URL"
                          : "--rendezvous: '" + url + "' is no address of a rendezvous",
              "give a folder that all workers see, file:///shared/job, or tcp://HOST:PORT");
}

std::optional<train::GroupRequest> GroupOfEnvironment() {
  if (WorkersOfLauncher().value_or(1) < 2) return std::nullopt;
  train::GroupRequest group = ReadGroupEnvironment();
  const std::string url = RendezvousOfLauncher();
  if (url.empty()) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("this is one of {} processes on several machines, and the environment "
                            "does not say where they meet",
                            group.expected_workers),
                "set INGOT_RENDEZVOUS=tcp://HOST:PORT for all of them, HOST being one of the "
                "machines");
  }
  OpenRendezvous(url, group);
  return group;
}

}  // namespace ingot::cli
