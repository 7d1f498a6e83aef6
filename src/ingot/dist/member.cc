// A worker's connection to the coordinator, wherever that is.
#include "ingot/dist/member.h"

#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/machine.h"

namespace ingot::dist {
namespace {

constexpr double kConnectSeconds = 0.3;
constexpr double kWelcomeSeconds = 0.4;
constexpr double kTransportSeconds = 5;

GroupView ViewOf(const Json& group) {
  GroupView view;
  view.epoch = group.at("epoch").get<int64_t>();
  view.rank = group.at("rank").get<int>();
  view.lead = group.at("lead_rank").get<int>();
  for (const Json& member : group.at("members")) {
    view.members.push_back({Text(member, "id"), member.at("slot").get<int>(), Text(member, "host"),
                            Text(member, "machine"), member.at("pid").get<int64_t>(),
                            member.at("step").get<int64_t>()});
  }
  return view;
}

void SleepSeconds(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

}  // namespace

Member::Member(MemberOptions options)
    : options_(std::move(options)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  slot_.store(options_.card.slot);
  thread_ = std::thread([this] { Loop(); });
}

Member::~Member() {
  closing_.store(true);
  Push(nullptr);
  if (thread_.joinable()) thread_.join();
}

void Member::Push(Json message) {
  {
    const std::lock_guard lock(mutex_);
    if (!message.is_null()) outbox_.push_back(std::move(message));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

// ---- the thread
// -----------------------------------------------------------------------------------

void Member::Loop() {
  began_ = MonotonicSeconds();
  while (!closing_.load()) {
    try {
      if (FindCoordinator()) {
        Attend();
      } else {
        SleepSeconds(0.01);
      }
    } catch (const Error& error) {
      // Before the first welcome it is the address that is wrong; later it may come again.
      if (error.code() == ErrorCode::kInvalidInput || !was_welcome_) {
        const std::lock_guard lock(mutex_);
        failed_ = std::current_exception();
      } else {
        // It is tried again in a moment.
        if (complaint_.IsDue()) {
          Log(true, fmt::format("the rendezvous cannot be reached: {}", error.message()));
        }
        SleepSeconds(0.1);
      }
    }
    const std::lock_guard lock(mutex_);
    if (end_ || refused_ || failed_) break;
  }
  socket_.Close();
  if (coordinator_) coordinator_->Drain();
  coordinator_.reset();
  const std::lock_guard lock(mutex_);
  if (!end_ && !refused_ && !failed_) {
    end_ = Json{{"error", "this worker leaves"}};
  }
  changed_.notify_all();
}

// The coordinator of the newest generation; where it is gone for certain, this worker takes over.
bool Member::FindCoordinator() {
  Store& store = *options_.store;
  const int64_t newest = LastNumber(store, "coordinator");
  if (newest != generation_) {
    // A new coordinator has a moment to sign the lease.
    generation_ = newest;
    lease_changed_ = MonotonicSeconds();
  }
  LookAtLease();
  RestoreRecords();
  if (newest == 0) return TakeOver(1, "");
  const auto text = store.Get("coordinator-" + std::to_string(newest));
  const Json record = Json::parse(text.value_or(""), nullptr, false);
  bool refused = false;
  if (record.is_object()) {
    if (!LeaseIsStale() && ConnectTo(record, &refused)) return true;
  }
  // Nobody listens where it did: its process is gone. Otherwise it may only be cut off from here:
  // it is replaced once it signs the lease no more.
  const bool gone = refused && Text(record, "machine") == options_.card.machine;
  if (!gone && !LeaseIsStale()) return false;
  if (const auto error = store.Get("ended")) {
    NoteEnd(*error);
    return false;
  }
  return TakeOver(newest + 1, WhyReplaced(record, gone));
}

// Who comes when all is over, or was stopped until then, has nothing to take over.
void Member::NoteEnd(const std::string& error) {
  if (!was_welcome_) {
    Log(true, "the job of this rendezvous has ended already: another one needs another place");
  }
  const std::lock_guard lock(mutex_);
  end_ = Json{{"type", "end"}, {"error", error}};
  changed_.notify_all();
}

std::string Member::WhyReplaced(const Json& record, bool gone) const {
  const int64_t rank = Whole(record, "rank", -1);
  const std::string who = fmt::format("the coordinator ({}{}, process {})",
                                      rank < 0 ? "" : fmt::format("rank {}, ", rank),
                                      Text(record, "machine"), Whole(record, "pid", 0));
  if (gone) return who + " is gone";
  return fmt::format("{} has given no sign of life for {:.1f} s (stopped or cut off)", who,
                     MonotonicSeconds() - lease_changed_);
}

void Member::LookAtLease() {
  const std::string lease = options_.store->Get("lease").value_or("");
  if (lease == lease_ && lease_changed_ > 0) return;
  lease_ = lease;
  lease_changed_ = MonotonicSeconds();
}

bool Member::LeaseIsStale() const {
  return MonotonicSeconds() - lease_changed_ > options_.timing.silence;
}

// A store that was lost and serves again knows nothing of the groups there were.
void Member::RestoreRecords() {
  Json group;
  {
    const std::lock_guard lock(mutex_);
    if (!last_group_) return;
    group = *last_group_;
  }
  options_.store->Create("epoch-" + std::to_string(group.value("epoch", int64_t{0})), group.dump());
}

bool Member::ConnectTo(const Json& record, bool* refused) {
  socket_ = LineSocket::Connect({Text(record, "host"), record.value("port", 0)}, kConnectSeconds,
                                refused);
  if (!socket_.valid()) return false;
  const WorkerCard& card = options_.card;
  int64_t epoch = 0;
  {
    const std::lock_guard lock(mutex_);
    epoch = epoch_;
  }
  socket_.Send({{"type", "hello"},
                {"token", options_.token},
                {"id", card.id},
                {"slot", slot_.load()},
                {"has_own_slot", card.slot >= 0},
                {"host", card.host},
                {"machine", card.machine},
                {"pid", card.pid},
                {"version", card.version},
                {"job", card.job_digest},
                {"data", card.data_digest},
                {"kernels", card.kernel_digest},
                {"epoch", epoch}});
  const double until = MonotonicSeconds() + kWelcomeSeconds;
  std::vector<Json> messages;
  while (MonotonicSeconds() < until && messages.empty()) {
    pollfd poll = {socket_.fd(), POLLIN, 0};
    ::poll(&poll, 1, 20);
    if (!socket_.Receive(messages) && messages.empty()) break;
  }
  if (messages.empty()) {
    socket_.Close();
    return false;
  }
  was_welcome_ = true;
  heard_ = last_tick_ = MonotonicSeconds();
  for (const Json& message : messages) Handle(message);
  {
    const std::lock_guard lock(mutex_);
    ready_is_sent_ = false;  // not to this coordinator
  }
  FlushOutbox();
  return true;
}

bool Member::TakeOver(int64_t generation, const std::string& why) {
  CoordinatorOptions options;
  options.store = options_.store.get();
  options.token = options_.token;
  options.host = options_.card.host;
  options.expected_workers = options_.expected_workers;
  options.most_workers = options_.most_workers;
  options.least_workers = options_.least_workers;
  options.joins_between_steps = options_.joins_between_steps;
  options.timing = options_.timing;
  options.log = options_.log;
  auto coordinator = std::make_unique<Coordinator>(std::move(options));
  const Json record = {{"host", coordinator->endpoint().host},
                       {"port", coordinator->endpoint().port},
                       {"machine", options_.card.machine},
                       {"pid", options_.card.pid},
                       {"rank", slot_.load()}};
  if (!options_.store->Create("coordinator-" + std::to_string(generation), record.dump())) {
    return false;
  }
  if (generation > 1) {
    const std::string who =
        slot_.load() >= 0
            ? fmt::format("rank {}", slot_.load())
            : fmt::format("this worker ({}, process {})", options_.card.machine, options_.card.pid);
    Log(true, fmt::format("{}: {} takes over", why, who));
  }
  coordinator_ = std::move(coordinator);
  coordinator_->Serve(generation);
  return false;  // and connects to itself as to any other
}

// As long as the coordinator answers.
void Member::Attend() {
  while (!closing_.load()) {
    pollfd polls[2] = {
        {socket_.fd(), static_cast<short>(POLLIN | (socket_.wants_to_write() ? POLLOUT : 0)), 0},
        {wake_.get(), POLLIN, 0}};
    ::poll(polls, 2, static_cast<int>(options_.timing.beat * 1000 / 2) + 1);
    if ((polls[1].revents & POLLIN) != 0) {
      uint64_t count = 0;
      [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof(count));
    }
    std::vector<Json> messages;
    const bool alive = socket_.Receive(messages);
    const double now = MonotonicSeconds();
    // A stall of this process is not the coordinator's silence.
    if (!messages.empty() || now - last_tick_ > options_.timing.silence / 2) heard_ = now;
    last_tick_ = now;
    for (const Json& message : messages) Handle(message);
    {
      const std::lock_guard lock(mutex_);
      if (end_ || refused_) return;
    }
    if (!alive || !FlushOutbox()) break;
    if (now - beat_at_ >= options_.timing.beat) {
      beat_at_ = now;
      SendBeat();
      LookAtLease();
    }
    if (now - heard_ > options_.timing.silence) break;
  }
  socket_.Close();
}

bool Member::FlushOutbox() {
  std::vector<Json> messages;
  {
    const std::lock_guard lock(mutex_);
    messages.swap(outbox_);
    // Once: a second one, after the group is formed, would mean that this worker has left it.
    if (ready_ && !ready_is_sent_) messages.push_back(*ready_);
    ready_is_sent_ = true;
  }
  for (const Json& message : messages) {
    if (!socket_.Send(message)) return false;
  }
  return socket_.Flush();
}

void Member::SendBeat() {
  Json beat = {{"type", "beat"},
               {"step", progress_.step.load()},
               {"samples", progress_.samples.load()},
               {"doing", progress_.doing.load()},
               {"seconds", MonotonicSeconds() - began_},
               {"memory_bytes", ResidentBytes()}};
  const double now = MonotonicSeconds();
  if (now - rate_at_ >= 0.5) {
    const int64_t samples = progress_.samples.load();
    if (rate_at_ > 0) rate_ = static_cast<double>(samples - rate_samples_) / (now - rate_at_);
    rate_at_ = now;
    rate_samples_ = samples;
  }
  beat["samples_per_second"] = rate_;
  std::shared_ptr<GroupExchange> exchange;
  {
    const std::lock_guard lock(mutex_);
    exchange = exchange_;
  }
  if (exchange) {
    const ExchangeStatus status = exchange->status();
    if (status.waiting_for >= 0) {
      beat["waiting_for"] = status.waiting_for;
      beat["waiting_seconds"] = MonotonicSeconds() - status.since;
      beat["what"] = status.what;
    }
    beat["bytes_sent"] = exchange->bytes_sent();
    beat["communication_seconds"] = exchange->waiting_seconds();
  }
  socket_.Send(beat);
}

void Member::Handle(const Json& message) {
  const std::string type = Text(message, "type");
  if (type == "beat") return;
  std::shared_ptr<GroupExchange> exchange;
  {
    const std::lock_guard lock(mutex_);
    if (type == "welcome") {
      slot_.store(message.value("slot", -1));
    } else if (type == "refused") {
      refused_ = message;
    } else if (type == "end") {
      end_ = message;
      exchange = exchange_;
    } else if (type == "pause") {
      paused_ = true;
      exchange = exchange_;
    } else if (type == "wish") {
      wish_ = true;
      if (exchange_) exchange_->AskToRegroup();
    } else if (type == "group") {
      wish_ = false;
      view_ = message;
      last_group_ = message;
      addresses_.reset();
      ready_.reset();
      paused_ = false;
      epoch_ = message.value("epoch", int64_t{0});
    } else if (type == "addresses") {
      if (message.value("epoch", int64_t{0}) == epoch_) addresses_ = message;
    }
  }
  if (exchange) exchange->Break(type == "end" ? "the run has ended" : Text(message, "why"));
  changed_.notify_all();
}

// ---- the worker
// -----------------------------------------------------------------------------------

// Under the lock.
void Member::ThrowIfEnded(bool* finished) {
  *finished = false;
  if (failed_) std::rethrow_exception(failed_);
  if (refused_) {
    throw Error(ErrorCode::kInvalidInput,
                "the job's coordinator refuses this worker: " + Text(*refused_, "error"),
                Text(*refused_, "hint"));
  }
  if (!end_) return;
  const std::string error = Text(*end_, "error");
  if (!error.empty()) {
    // Of a run that ended before, no more is known.
    if (!end_->contains("rank")) throw PeerFailed("the run has failed: " + error, 1);
    throw PeerFailed(fmt::format("rank {} ({}) has failed: {}", end_->value("rank", -1),
                                 Text(*end_, "machine"), error),
                     end_->value("exit_status", 1));
  }
  *finished = true;
}

std::optional<Group> Member::Join(int64_t step, const std::string& why) {
  std::string reason = why;
  while (true) {
    Json view;
    {
      std::unique_lock lock(mutex_);
      exchange_.reset();
      view_.reset();
      ready_ = Json{{"type", "ready"}, {"step", step}, {"epoch", epoch_}, {"why", reason}};
      ready_is_sent_ = false;
    }
    Push(nullptr);
    {
      std::unique_lock lock(mutex_);
      bool finished = false;
      changed_.wait(lock, [&] {
        ThrowIfEnded(&finished);
        return finished || view_.has_value();
      });
      if (finished) return std::nullopt;
      view = *view_;
    }
    std::optional<Group> group = Connect(view, &reason);
    if (group) return group;
  }
}

std::optional<Group> Member::Connect(const Json& json, std::string* why) {
  Group group;
  group.view = ViewOf(json);
  const int rank = group.view.rank;
  std::unique_ptr<Transport> transport =
      options_.transports->Make(rank, group.view.size(), options_.card.host, why);
  if (transport == nullptr) {
    throw Error(ErrorCode::kIo, "cannot open the transport at " + options_.card.host + ": " + *why,
                "name this machine's address with INGOT_HOST");
  }
  Json list = Json::array();
  for (const std::string& address : transport->Addresses()) list.push_back(ToHex(address));
  Transport& link = *transport;
  group.exchange = std::make_shared<GroupExchange>(std::move(transport), rank, group.view.size());
  std::vector<std::string> addresses;
  {
    std::unique_lock lock(mutex_);
    exchange_ = group.exchange;
    if (wish_) exchange_->AskToRegroup();
    outbox_.push_back({{"type", "addresses"}, {"epoch", group.view.epoch}, {"addresses", list}});
    lock.unlock();
    Push(nullptr);
    lock.lock();
    bool finished = false;
    const auto is_over = [&] { return paused_ || epoch_ != group.view.epoch; };
    while (!is_over() && !addresses_ && !finished) {
      ThrowIfEnded(&finished);
      changed_.wait_for(lock, std::chrono::milliseconds(100));
    }
    if (is_over() || finished) {
      *why = "the group has changed";
      return std::nullopt;
    }
    for (const Json& address : addresses_->at("addresses")) {
      addresses.push_back(FromHex(address.get<std::string>()));
    }
  }
  if (link.Connect(addresses, kTransportSeconds, why) && !group.exchange->broken().load()) {
    return group;
  }
  group.exchange->Break(*why);
  return std::nullopt;
}

void Member::Finish() {
  Push({{"type", "finished"}});
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::seconds(3), [&] { return end_.has_value(); });
}

bool Member::WaitForEnd() {
  std::unique_lock lock(mutex_);
  bool finished = false;
  changed_.wait(lock, [&] {
    ThrowIfEnded(&finished);
    return finished || paused_;
  });
  return finished;
}

bool Member::Fail(const std::string& error, const std::string& hint, int exit_status) {
  Push({{"type", "failed"}, {"error", error}, {"hint", hint}, {"exit_status", exit_status}});
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::seconds(1), [&] { return end_.has_value(); });
  return !end_ || Text(*end_, "error").empty() || end_->value("rank", -1) == slot_.load();
}

}  // namespace ingot::dist
