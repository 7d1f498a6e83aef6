// Base64 against the values that its specification gives, and what is none.
#include "ingot/base/base64.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot {
namespace {

TEST(Base64Test, WritesAndReadsTheKnownValues) {
  const std::vector<std::pair<std::string, std::string>> known = {{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"fooba", "Zm9vYmE="},
                                                                  {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : known) {
    EXPECT_EQ(Base64Encode(bytes), text);
    EXPECT_EQ(Base64Decode(text, "it"), bytes);
  }
}

TEST(Base64Test, CarriesEveryByte) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(Base64Decode(Base64Encode(bytes), "it"), bytes);
}

TEST(Base64Test, RefusesWhatIsNone) {
  for (const std::string text : {"Zm9*", "Zm9vY"}) {
    try {
      Base64Decode(text, "the value");
      FAIL() << text << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      EXPECT_EQ(error.message().rfind("the value: ", 0), 0u) << error.message();
    }
  }
}

}  // namespace
}  // namespace ingot
