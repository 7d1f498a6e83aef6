// The stores: a record is created once, by whoever comes first.
#include "ingot/dist/store.h"

#include <atomic>
#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/test_folder.h"
#include "ingot/dist/tcp_store.h"

namespace ingot::dist {
namespace {

void CheckStore(const std::function<std::unique_ptr<Store>()>& open) {
  const std::unique_ptr<Store> store = open();
  EXPECT_EQ(store->Get("epoch-1"), std::nullopt);
  EXPECT_TRUE(store->Create("epoch-1", "first"));
  EXPECT_FALSE(store->Create("epoch-1", "second"));
  EXPECT_EQ(store->Get("epoch-1"), "first");
  store->Put("lease", "1");
  store->Put("lease", "2");
  EXPECT_EQ(store->Get("lease"), "2");
  store->Put("epoch-12", "x");
  EXPECT_THAT(store->List("epoch-"), testing::ElementsAre("epoch-1", "epoch-12"));
  EXPECT_EQ(LastNumber(*store, "epoch"), 12);
  EXPECT_EQ(LastNumber(*store, "coordinator"), 0);

  // Of many that create the same record one succeeds.
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> created = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        const std::unique_ptr<Store> mine = open();
        if (mine->Create("race-" + std::to_string(round), std::to_string(i))) ++created;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(created.load(), 1);
  }
}

TEST(Store, InAFolder) {
  const TestFolder folder;
  CheckStore([&] { return std::make_unique<FileStore>(folder.path() + "/store"); });
}

TEST(Store, OverTcp) {
  Endpoint at;
  { const FileDescriptor probe = Listen({"127.0.0.1", 0}, &at); }
  const TcpStoreServer server(at, "secret");
  CheckStore([&] { return std::make_unique<TcpStore>(at, "secret"); });
  TcpStore stranger(at, "guess");
  try {
    stranger.Get("epoch-1");
    FAIL() << "a wrong token must be refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_THAT(error.message(), testing::HasSubstr("refuses this worker's token"));
  }
}

TEST(Store, OverTcpFromAFolder) {
  const TestFolder folder;
  const std::string path = folder.path() + "/store";
  const TcpStoreServer server({"127.0.0.1", 0}, "secret", std::make_shared<FileStore>(path));
  EXPECT_GT(server.endpoint().port, 0);
  CheckStore([&] { return std::make_unique<TcpStore>(server.endpoint(), "secret"); });
  EXPECT_EQ(FileStore(path).Get("lease"), "2");
}

TEST(Store, ServedByOneOfItsUsers) {
  const auto own = TcpStore::Serve("127.0.0.1", "secret");
  own->Put("lease", "3");
  EXPECT_EQ(TcpStore(own->server(), "secret").Get("lease"), "3");
}

TEST(Store, ListeningTwiceNamesTheAddress) {
  Endpoint at;
  const FileDescriptor first = Listen({"127.0.0.1", 0}, &at);
  try {
    Listen(at, nullptr);
    FAIL() << "the port is in use";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), testing::HasSubstr("127.0.0.1:" + std::to_string(at.port)));
    EXPECT_THAT(error.message(), testing::HasSubstr("in use"));
  }
}

TEST(Wire, BytesAsText) {
  const std::string bytes("\x00\xff\x10z", 4);
  EXPECT_EQ(ToHex(bytes), "00ff107a");
  EXPECT_EQ(FromHex(ToHex(bytes)), bytes);
}

}  // namespace
}  // namespace ingot::dist
