// The store over TCP: one request, one answer.
#include "ingot/dist/tcp_store.h"

#include <chrono>
#include <list>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"

namespace ingot::dist {
namespace {

constexpr double kStoreConnectSeconds = 1;
constexpr double kAnswerSeconds = 2;
// How long a process looks for somebody who serves before it gives up.
constexpr double kSearchSeconds = 10;

}  // namespace

TcpStoreServer::TcpStoreServer(const Endpoint& at, std::string token,
                               std::shared_ptr<Store> records)
    : listener_(Listen(at, &endpoint_)),
      token_(std::move(token)),
      records_(records != nullptr ? std::move(records) : std::make_shared<MemoryStore>()) {
  thread_ = std::thread([this] { Loop(); });
}

TcpStoreServer::~TcpStoreServer() {
  closing_.store(true);
  thread_.join();
}

void TcpStoreServer::Loop() {
  std::list<Client> clients;
  while (!closing_.load()) {
    std::vector<pollfd> polls = {{listener_.get(), POLLIN, 0}};
    for (const Client& client : clients) polls.push_back({client.socket.fd(), POLLIN, 0});
    ::poll(polls.data(), polls.size(), 50);
    for (int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC); fd >= 0;
         fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)) {
      clients.push_back({LineSocket(FileDescriptor(fd))});
    }
    for (auto client = clients.begin(); client != clients.end();) {
      std::vector<Json> requests;
      bool alive = client->socket.Receive(requests);
      for (const Json& request : requests) {
        try {
          alive = client->socket.Send(Answer(*client, request)) && alive;
        } catch (const Error&) {
          alive = false;  // the records cannot be written: who asked asks again
        }
      }
      client = alive && client->socket.Flush() ? std::next(client) : clients.erase(client);
    }
  }
}

Json TcpStoreServer::Answer(Client& client, const Json& request) {
  const std::string type = Text(request, "type");
  if (type == "hello") {
    client.trusted = Text(request, "token") == token_;
    return {{"trusted", client.trusted}};
  }
  if (!client.trusted) return {{"trusted", false}};
  const std::string key = Text(request, "key");
  if (type == "create") return {{"created", records_->Create(key, Text(request, "value"))}};
  if (type == "put") {
    records_->Put(key, Text(request, "value"));
    return {{"done", true}};
  }
  if (type == "get") {
    const auto found = records_->Get(key);
    return found ? Json{{"value", *found}} : Json::object();
  }
  return {{"keys", records_->List(key)}};
}

TcpStore::TcpStore(Endpoint server, std::string token)
    : server_(std::move(server)), token_(std::move(token)) {}

TcpStore::~TcpStore() = default;

std::shared_ptr<TcpStore> TcpStore::Serve(const std::string& host, const std::string& token) {
  auto server = std::make_unique<TcpStoreServer>(Endpoint{host, 0}, token);
  auto store = std::make_shared<TcpStore>(server->endpoint(), token);
  store->served_ = std::move(server);
  return store;
}

bool TcpStore::TryAsk(const Json& request, Json& answer) {
  if (!socket_.Send(request)) return false;
  std::vector<Json> answers;
  const double until = MonotonicSeconds() + kAnswerSeconds;
  while (answers.empty() && MonotonicSeconds() < until) {
    pollfd poll = {socket_.fd(), POLLIN, 0};
    ::poll(&poll, 1, 100);
    if (!socket_.Receive(answers) && answers.empty()) return false;
  }
  if (answers.empty()) return false;
  answer = answers[0];
  return true;
}

Json TcpStore::Ask(const Json& request) {
  const std::lock_guard lock(mutex_);
  const double until = MonotonicSeconds() + kSearchSeconds;
  bool is_another = false;  // something listens there that does not answer as a rendezvous does
  while (true) {
    Json answer;
    if (socket_.valid() && TryAsk(request, answer)) {
      if (answer.value("trusted", true)) return answer;
      throw Error(ErrorCode::kInvalidInput,
                  "the rendezvous at " + server_.ToString() + " refuses this worker's token",
                  "give the token of the job in INGOT_TOKEN or in the file that INGOT_TOKEN_FILE "
                  "names");
    }
    bool refused = false;
    socket_ = LineSocket::Connect(server_, kStoreConnectSeconds, &refused);
    if (socket_.valid()) {
      if (TryAsk({{"type", "hello"}, {"token", token_}}, answer)) continue;
      socket_.Close();
      is_another = true;
    }
    if (refused && served_ == nullptr) {
      try {
        served_ = std::make_unique<TcpStoreServer>(server_, token_);
        continue;
      } catch (const Error&) {
        // Not an address of this machine, or another process was quicker.
      }
    }
    if (MonotonicSeconds() > until && is_another) {
      throw Error(ErrorCode::kIo,
                  "another program listens at tcp://" + server_.ToString() +
                      ": it takes connections, but does not answer as a rendezvous of Ingot",
                  "the port is in use: choose another one for all workers of the job");
    }
    if (MonotonicSeconds() > until) {
      throw Error(ErrorCode::kIo, "nobody answers at the rendezvous tcp://" + server_.ToString(),
                  "start a worker on that machine, or correct the address");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

bool TcpStore::Create(const std::string& key, const std::string& value) {
  return Ask({{"type", "create"}, {"key", key}, {"value", value}}).value("created", false);
}

void TcpStore::Put(const std::string& key, const std::string& value) {
  Ask({{"type", "put"}, {"key", key}, {"value", value}});
}

std::optional<std::string> TcpStore::Get(const std::string& key) {
  const Json answer = Ask({{"type", "get"}, {"key", key}});
  const auto value = answer.find("value");
  if (value == answer.end()) return std::nullopt;
  return value->get<std::string>();
}

std::vector<std::string> TcpStore::List(const std::string& prefix) {
  return Ask({{"type", "list"}, {"key", prefix}}).value("keys", std::vector<std::string>());
}

}  // namespace ingot::dist
