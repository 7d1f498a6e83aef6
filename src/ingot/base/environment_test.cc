// Folders and locale from environment variables.
#include "ingot/base/environment.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "ingot/base/error.h"

namespace ingot {
namespace {

// Sets variables for a test and puts the old values back.
class EnvironmentTest : public testing::Test {
 protected:
  static constexpr const char* kNames[] = {
      "INGOT_CACHE", "INGOT_DATA", "XDG_CACHE_HOME", "HOME", "LC_ALL", "LC_CTYPE", "LANG"};
  void SetUp() override {
    for (const char* name : kNames) {
      before_.push_back(GetEnvironment(name));
      ::unsetenv(name);
    }
  }
  void TearDown() override {
    for (size_t i = 0; i < before_.size(); ++i) {
      if (before_[i]) {
        ::setenv(kNames[i], before_[i]->c_str(), 1);
      } else {
        ::unsetenv(kNames[i]);
      }
    }
  }
  std::vector<std::optional<std::string>> before_;
};

TEST_F(EnvironmentTest, CacheFolderTakesTheFirstThatIsSet) {
  try {
    CacheFolder();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_EQ(error.message(),
              "no folder for the cache: none of INGOT_CACHE, XDG_CACHE_HOME and HOME is set");
  }
  ::setenv("HOME", "/home/ada", 1);
  EXPECT_EQ(CacheFolder(), "/home/ada/.cache/ingot");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(CacheFolder(), "/home/ada/.cache/ingot");
  ::setenv("XDG_CACHE_HOME", "/var/cache", 1);
  EXPECT_EQ(CacheFolder(), "/var/cache/ingot");
  ::setenv("INGOT_CACHE", "/big/disk", 1);
  EXPECT_EQ(CacheFolder(), "/big/disk");
}

TEST_F(EnvironmentTest, EmptyIsUnset) {
  EXPECT_FALSE(DataFolder().has_value());
  ::setenv("INGOT_DATA", "", 1);
  EXPECT_FALSE(DataFolder().has_value());
  ::setenv("INGOT_DATA", "/data", 1);
  EXPECT_EQ(DataFolder(), "/data");
}

TEST_F(EnvironmentTest, LocaleIsReadInItsOrder) {
  EXPECT_FALSE(LocaleIsUtf8());
  ::setenv("LANG", "en_US.UTF-8", 1);
  EXPECT_TRUE(LocaleIsUtf8());
  ::setenv("LC_ALL", "C", 1);
  EXPECT_FALSE(LocaleIsUtf8());
  ::setenv("LC_ALL", "C.utf8", 1);
  EXPECT_TRUE(LocaleIsUtf8());
}

}  // namespace
}  // namespace ingot
