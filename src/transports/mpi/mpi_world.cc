// Calls of MPI.
#include "mpi_world.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include <dlfcn.h>
#include <sys/prctl.h>

namespace ingot::transports {
namespace {

constexpr size_t kPartBytes = size_t{1} << 30;  // MPI counts in int
constexpr size_t kMostSpare = 64;
constexpr int kLooksWithoutRest = 50;
constexpr auto kRest = std::chrono::microseconds(20);
constexpr auto kFinishSeconds = std::chrono::seconds(10);

std::string ErrorText(int code) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return {text, static_cast<size_t>(length)};
}

bool Failed(int code, std::string* error) {
  if (code == MPI_SUCCESS) return false;
  *error = ErrorText(code);
  return true;
}

}  // namespace

// Who rests is woken before those that compute; who only yields waits for them to use up their
// time.
void Backoff::Wait() {
  if (++looks_ < kLooksWithoutRest) return;
  if (looks_ == kLooksWithoutRest) ::prctl(PR_SET_TIMERSLACK, 1000UL);  // of this thread, in ns
  std::this_thread::sleep_for(kRest);
}

std::unique_ptr<MpiWorld> MpiWorld::Open(std::string* error) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0) {
    *error = "MPI is in use in this process already";
    return nullptr;
  }
  // Where processes share a CPU, MPI would yield at every look: see Backoff.
  ::setenv("OMPI_MCA_mpi_yield_when_idle", "0", 0);
  // Open MPI's own plugins look for its symbols among all that are loaded.
  dlopen("libmpi.so.40", RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
  std::unique_ptr<MpiWorld> world(new MpiWorld());
  return world->Start(error) ? std::move(world) : nullptr;
}

bool MpiWorld::Start(std::string* error) {
  int level = 0;
  if (Failed(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level), error)) return false;
  if (level < MPI_THREAD_SERIALIZED) {
    *error = "this MPI does not take calls from several threads";
    return false;
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (Failed(MPI_Comm_dup(MPI_COMM_WORLD, &communicator_), error)) return false;
  MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(communicator_, &rank_);
  MPI_Comm_size(communicator_, &size_);
  int* most = nullptr;
  int found = 0;
  MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, static_cast<void*>(&most), &found);
  most_tag_ = found != 0 ? *most : 32767;
  MPI_Comm machine = MPI_COMM_NULL;
  if (Failed(MPI_Comm_split_type(communicator_, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine),
             error)) {
    return false;
  }
  int here = 0;
  MPI_Comm_size(machine, &here);
  MPI_Comm_free(&machine);
  int everywhere = here == size_ ? 1 : 0;
  MPI_Allreduce(MPI_IN_PLACE, &everywhere, 1, MPI_INT, MPI_MIN, communicator_);
  one_machine_ = everywhere == 1;
  // A name that no other job has: what rank 0 finds at its start.
  name_ = std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
  return Broadcast(&name_, error);
}

bool MpiWorld::Broadcast(std::string* text, std::string* error) {
  const std::lock_guard lock(mutex_);
  int length = static_cast<int>(text->size());
  if (Failed(MPI_Bcast(&length, 1, MPI_INT, 0, communicator_), error)) return false;
  text->resize(static_cast<size_t>(length));
  return !Failed(MPI_Bcast(text->data(), length, MPI_CHAR, 0, communicator_), error);
}

std::unique_ptr<MpiRequest> MpiWorld::Make(bool sends, size_t bytes) {
  std::unique_ptr<MpiRequest> request;
  const auto fits = std::find_if(spare_.begin(), spare_.end(), [&](const auto& spare) {
    return spare->capacity >= bytes && spare->capacity <= bytes * 2 + 4096;
  });
  if (fits != spare_.end()) {
    request = std::move(*fits);
    *fits = std::move(spare_.back());
    spare_.pop_back();
  } else {
    request = std::make_unique<MpiRequest>();
    request->buffer = std::make_unique_for_overwrite<std::byte[]>(bytes);
    request->capacity = bytes;
  }
  request->sends = sends;
  return request;
}

bool MpiWorld::Post(MpiRequest& request, int peer, int tag, size_t bytes, std::string* error) {
  for (size_t begin = 0; begin < bytes || request.parts.empty(); begin += kPartBytes) {
    const int count = static_cast<int>(std::min(kPartBytes, bytes - begin));
    std::byte* at = request.buffer.get() + begin;
    MPI_Request part = MPI_REQUEST_NULL;
    const int code = request.sends
                         ? MPI_Isend(at, count, MPI_BYTE, peer, tag, communicator_, &part)
                         : MPI_Irecv(at, count, MPI_BYTE, peer, tag, communicator_, &part);
    if (Failed(code, error)) return false;
    request.parts.push_back(part);
  }
  return true;
}

std::unique_ptr<MpiRequest> MpiWorld::Send(int peer, int tag, const void* data, size_t bytes,
                                           std::string* error) {
  const std::lock_guard lock(mutex_);
  auto request = Make(true, bytes);
  std::memcpy(request->buffer.get(), data, bytes);
  if (Post(*request, peer, tag, bytes, error)) return request;
  Keep(std::move(request));
  return nullptr;
}

std::unique_ptr<MpiRequest> MpiWorld::Receive(int peer, int tag, size_t bytes, std::string* error) {
  const std::lock_guard lock(mutex_);
  auto request = Make(false, bytes);
  if (Post(*request, peer, tag, bytes, error)) return request;
  Keep(std::move(request));
  return nullptr;
}

int MpiWorld::Test(MpiRequest& request, std::string* error) {
  const std::lock_guard lock(mutex_);
  int done = 0;
  const int code = MPI_Testall(static_cast<int>(request.parts.size()), request.parts.data(), &done,
                               MPI_STATUSES_IGNORE);
  return Failed(code, error) ? -1 : done;
}

bool MpiWorld::AnyPending(MpiRequest& request) {
  int done = 0;
  MPI_Testall(static_cast<int>(request.parts.size()), request.parts.data(), &done,
              MPI_STATUSES_IGNORE);
  return done == 0;
}

void MpiWorld::Release(std::unique_ptr<MpiRequest> request) {
  const std::lock_guard lock(mutex_);
  Keep(std::move(request));
}

void MpiWorld::Keep(std::unique_ptr<MpiRequest> request) {
  if (finished_ || AnyPending(*request)) {
    if (!request->sends && !finished_) {
      for (MPI_Request& part : request->parts) {
        if (part != MPI_REQUEST_NULL) MPI_Cancel(&part);
      }
    }
    given_up_.push_back(std::move(request));
    return;
  }
  request->parts.clear();
  if (spare_.size() < kMostSpare) spare_.push_back(std::move(request));
}

void MpiWorld::DropStrays() {
  const std::lock_guard lock(mutex_);
  DropStraysLocked();
}

void MpiWorld::DropStraysLocked() {
  CollectGivenUp();
  int found = 1;
  while (found != 0) {
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    if (MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, communicator_, &found, &message, &status) !=
            MPI_SUCCESS ||
        found == 0) {
      return;
    }
    int bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    auto request = Make(false, static_cast<size_t>(bytes));
    MPI_Request part = MPI_REQUEST_NULL;
    MPI_Imrecv(request->buffer.get(), bytes, MPI_BYTE, &message, &part);
    request->parts.push_back(part);
    given_up_.push_back(std::move(request));
  }
}

void MpiWorld::CollectGivenUp() {
  given_up_.remove_if([this](const auto& request) { return !AnyPending(*request); });
}

void MpiWorld::Finish() {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  // What others have sent in vain must be taken by somebody, or they could not end. While one waits
  // for the rest it goes on taking.
  const auto until = std::chrono::steady_clock::now() + kFinishSeconds;
  Backoff backoff;
  DropStraysLocked();
  while (!given_up_.empty() && std::chrono::steady_clock::now() < until) {
    backoff.Wait();
    DropStraysLocked();
  }
  MPI_Request barrier = MPI_REQUEST_NULL;
  int done = 0;
  if (MPI_Ibarrier(communicator_, &barrier) != MPI_SUCCESS) return;
  while (done == 0 && std::chrono::steady_clock::now() < until) {
    if (MPI_Test(&barrier, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return;
    DropStraysLocked();
    backoff.Wait();
  }
  if (done == 0) return;
  finished_ = true;
  MPI_Finalize();
}

}  // namespace ingot::transports
