// Environment variables of schedulers, and the rendezvous.
#include "ingot/cli/group_environment.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/host_port.h"
#include "ingot/base/machine.h"
#include "ingot/base/text.h"
#include "ingot/cli/pmi.h"
#include "ingot/cli/program.h"
#include "ingot/cli/token.h"
#include "ingot/dist/etcd_store.h"
#include "ingot/dist/tcp_store.h"
#include "ingot/dist/transport.h"

namespace ingot::cli {
namespace {

std::optional<double> Number(const std::string& name, double least) {
  const std::optional<std::string> text = GetEnvironment(name);
  if (!text) return std::nullopt;
  const std::optional<double> value = ParseWhole<double>(*text);
  if (!value || *value < least) {
    throw Error(ErrorCode::kInvalidInput, "the environment has " + name + "=" + *text +
                                              ", expected a number of " +
                                              std::to_string(static_cast<int>(least)) + " or more");
  }
  return value;
}

// A count or a number of a process, a port: far more of them than there are.
constexpr int64_t kMostCounted = 1'000'000;

std::optional<int> First(std::initializer_list<const char*> names, int64_t least) {
  for (const char* name : names) {
    const std::optional<std::string> text = GetEnvironment(name);
    if (!text) continue;
    const std::optional<int64_t> value = ParseWhole<int64_t>(*text);
    if (value && *value >= least && *value <= kMostCounted) return static_cast<int>(*value);
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("the environment has {}={}, expected a whole number from {} to {}",
                            name, *text, least, kMostCounted));
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
constexpr std::string_view kEtcd = "etcd://";

dist::Endpoint ParseEndpoint(const std::string& url, std::string_view text) {
  const HostPort parts = SplitHostPort(text);
  const std::optional<int> port = ParsePort(parts.port.value_or(""));
  if (parts.host.empty() || !port) {
    throw Error(ErrorCode::kInvalidInput, "'" + url + "' is no address of a rendezvous",
                url.starts_with(kEtcd) ? "name server and job: etcd://10.0.0.1:2379/big"
                                       : "name host and port: tcp://10.0.0.1:29400");
  }
  return {parts.host, *port};
}

// "etcd://host:2379,host:2379/job": the servers, and the name of the job.
std::shared_ptr<dist::Store> OpenEtcd(const std::string& url, train::GroupRequest& group) {
  const std::string rest = url.substr(kEtcd.size());
  const size_t slash = rest.find('/');
  const std::string name = slash == std::string::npos ? "" : rest.substr(slash + 1);
  std::vector<dist::Endpoint> servers;
  for (const std::string& server : Split(rest.substr(0, slash), ',')) {
    servers.push_back(ParseEndpoint(url, server));
    if (group.host.empty()) group.host = dist::AddressTowards(servers.back());
  }
  return std::make_shared<dist::EtcdStore>(std::move(servers), name.empty() ? "default" : name);
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

// Of processes that a launcher started together. SLURM_NTASKS is also set in a batch script, which
// is one process: it counts in a step, and where it is said where the processes meet.
std::optional<int> WorkersOfLauncher() {
  if (const auto size =
          First({"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "PMI_SIZE"}, 1)) {
    return size;
  }
  const bool meets = GetEnvironment("INGOT_RENDEZVOUS") ||
                     (GetEnvironment("MASTER_ADDR") && GetEnvironment("MASTER_PORT"));
  const bool is_batch_script = GetEnvironment("ENVIRONMENT") == "BATCH";
  const bool is_step = GetEnvironment("SLURM_STEP_ID").has_value() || (meets && !is_batch_script);
  return is_step && GetEnvironment("SLURM_PROCID") ? First({"SLURM_NTASKS"}, 1) : std::nullopt;
}

// Whether mpirun, or another launcher that serves Open MPI's processes, has started this one.
bool MpiIsServed() {
  if (!GetEnvironment("PMIX_RANK") || !GetEnvironment("PMIX_NAMESPACE")) return false;
  for (const char* version : {"", "2", "21", "3", "4", "41"}) {
    if (GetEnvironment(std::string("PMIX_SERVER_URI") + version)) return true;
  }
  return false;
}

// A rendezvous that is named stands for any of the ways to meet, and so for Gloo.
std::string TransportOfEnvironment() {
  if (const auto name = GetEnvironment("INGOT_TRANSPORT")) return *name;
  const bool named = GetEnvironment("INGOT_RENDEZVOUS").has_value();
  return !named && MpiIsServed() && !dist::FindTransport("mpi").empty() ? "mpi" : "gloo";
}

// PMI takes values of 1,024 bytes.
constexpr size_t kLongestFolder = 250;

// What their launcher's own means tell all processes of a group: what rank 0 says.
using Broadcast = std::function<void(std::string& text)>;

// Rank 0 serves the store, and tells the others where, the token, and the run directory.
void Meet(train::GroupRequest& group, bool one_machine, const Broadcast& broadcast,
          std::string* out) {
  const bool chooses_host = group.host.empty();
  if (chooses_host) group.host = one_machine ? "127.0.0.1" : dist::OwnAddress();
  nlohmann::json place;
  if (group.slot == 0) {
    if (group.token.empty()) group.token = RandomToken();
    const auto store = dist::TcpStore::Serve(group.host, group.token);
    group.store = store;
    place = {
        {"host", store->server().host}, {"port", store->server().port}, {"token", group.token}};
    if (out->size() < kLongestFolder) place["out"] = *out;
  }
  std::string text = place.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  broadcast(text);
  if (group.slot == 0) return;
  place = nlohmann::json::parse(text, nullptr, false);
  const dist::Endpoint server = {dist::Text(place, "host"),
                                 static_cast<int>(dist::Whole(place, "port", 0))};
  group.token = dist::Text(place, "token");
  if (place.contains("out")) *out = dist::Text(place, "out");
  group.store = std::make_shared<dist::TcpStore>(server, group.token);
  if (chooses_host && !one_machine) group.host = dist::AddressTowards(server);
}

void MeetOverMpi(train::GroupRequest& group, std::string* out) {
  std::string error = "MPI has started no processes";
  const auto check = [&error](bool done) {
    if (!done) throw Error(ErrorCode::kIo, "cannot meet the other processes over MPI: " + error);
  };
  const auto launched = group.transports->launched();
  if (!launched) check(group.transports->Broadcast(&error, &error));
  group.slot = launched->rank;
  group.expected_workers = launched->size;
  Meet(
      group, launched->one_machine,
      [&](std::string& text) { check(group.transports->Broadcast(&text, &error)); }, out);
}

void MeetOverPmi(int fd, train::GroupRequest& group, std::string* out) {
  const bool one_machine = First({"MPI_LOCALNRANKS"}, 1) == group.expected_workers;
  Meet(
      group, one_machine, [&](std::string& text) { text = Pmi(fd).Broadcast(group.slot, text); },
      out);
}

// Schedulers make a host's name known when its process has started, or somewhat later.
std::string WaitForAddressTowards(const dist::Endpoint& server) {
  constexpr int kTries = 20;
  std::string address = dist::AddressTowards(server);
  for (int i = 1; i < kTries && address.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    address = dist::AddressTowards(server);
  }
  return address;
}

}  // namespace

train::GroupRequest ReadGroupEnvironment(const std::string& transport) {
  train::GroupRequest group;
  // Gloo writes to sockets whose other end may be gone: that is an error, not the end.
  ::signal(SIGPIPE, SIG_IGN);
  group.version = kVersion;
  group.token = Token();
  group.slot = First({"INGOT_RANK", "RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "PMI_RANK"}, 0)
                   .value_or(-1);
  group.expected_workers = WorkersOfLauncher().value_or(1);
  // Of a launcher's processes; workers by themselves (`ingot worker`) may be more than were
  // expected.
  if (WorkersOfLauncher() && group.slot >= group.expected_workers &&
      !GetEnvironment("INGOT_RANK")) {
    throw Error(
        ErrorCode::kInvalidInput,
        fmt::format("the environment says that this is process {} of {}, which are numbered "
                    "from 0",
                    group.slot, group.expected_workers),
        "RANK must be below WORLD_SIZE");
  }
  group.transport =
      transport.empty() ? GetEnvironment("INGOT_TRANSPORT").value_or("gloo") : transport;
  group.transports = dist::LoadTransport(group.transport);
  group.host = GetEnvironment("INGOT_HOST").value_or("");
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
  if (url.starts_with(kTcp) || url.starts_with(kEtcd)) {
    std::string own;
    if (url.starts_with(kEtcd)) {
      group.store = OpenEtcd(url, group);
      own = group.host;
    } else {
      const dist::Endpoint server = ParseEndpoint(url, std::string_view(url).substr(kTcp.size()));
      group.store = std::make_shared<dist::TcpStore>(server, group.token);
      // Also where INGOT_HOST says the own address: whether the other one can be found.
      own = WaitForAddressTowards(server);
      if (group.host.empty()) group.host = own;
    }
    if (!own.empty()) return;
    throw Error(ErrorCode::kInvalidInput,
                "the host of the rendezvous '" + url + "' is not known here");
  }
  throw Error(ErrorCode::kInvalidInput,
              url.empty() ? "`ingot worker` needs --rendezvous URL"
                          : "--rendezvous: '" + url + "' is no address of a rendezvous",
              "give a folder that all workers see, file:///shared/job, or tcp://HOST:PORT, or "
              "etcd://HOST:2379/JOB");
}

std::optional<train::GroupRequest> GroupOfEnvironment(std::string* out) {
  if (WorkersOfLauncher().value_or(1) < 2) return std::nullopt;
  const std::string transport = TransportOfEnvironment();
  train::GroupRequest group = ReadGroupEnvironment(transport);
  if (transport == "mpi") {
    MeetOverMpi(group, out);
    return group;
  }
  const std::string url = RendezvousOfLauncher();
  const auto pmi = First({"PMI_FD"}, 0);
  if (url.empty() && pmi && group.slot >= 0) {
    MeetOverPmi(*pmi, group, out);
    return group;
  }
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

int ShareOfCpus() {
  const int usable = AvailableCpus();
  const auto here = First(
      {"INGOT_LOCAL_WORKERS", "LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"},
      1);
  const bool is_bound = usable < ::sysconf(_SC_NPROCESSORS_ONLN);
  return is_bound ? usable : std::max(1, usable / here.value_or(1));
}

}  // namespace ingot::cli
