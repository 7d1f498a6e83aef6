// Archives for tests with members that EncodeTar does not write.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingot/formats/bytes.h"
#include "ingot/formats/tar.h"

namespace ingot::formats {

// The header and the bytes of one member of that type; members one after another are an archive.
inline std::string TarMember(const std::string& name, std::string_view text, char type = '0') {
  constexpr size_t kBlock = 512;
  const std::vector<std::pair<std::string, std::span<const std::byte>>> files = {
      {name, AsBytes(text)}};
  const std::vector<std::byte> archive = EncodeTar(files);
  std::string member(AsText(archive).substr(0, archive.size() - 2 * kBlock));
  member[156] = type;
  unsigned sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(member[i]);
  }
  char digits[8];
  std::snprintf(digits, sizeof(digits), "%06o", sum);
  return member.replace(148, 6, digits, 6);
}

// "19 path=a/long/name\n", its length first.
inline std::string PaxRecord(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  size_t length = rest.size();
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

}  // namespace ingot::formats
