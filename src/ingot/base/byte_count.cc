// A number and its unit.
#include "ingot/base/byte_count.h"

#include <cmath>
#include <map>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot {

uint64_t ParseBytes(const std::string& text) {
  if (text.empty()) return 0;
  static const std::map<std::string, double> kUnits = {{"", 1},
                                                       {"b", 1},
                                                       {"kb", 1e3},
                                                       {"mb", 1e6},
                                                       {"gb", 1e9},
                                                       {"kib", 1024.0},
                                                       {"mib", 1048576.0},
                                                       {"gib", 1073741824.0},
                                                       {"tib", 1099511627776.0},
                                                       {"tb", 1e12}};
  size_t end = 0;
  double number = -1;
  try {
    number = std::stod(text, &end);
  } catch (const std::exception&) {
    end = 0;
  }
  std::string unit = LowerCase(text.substr(end));
  std::erase(unit, ' ');
  const auto found = kUnits.find(unit);
  if (end == 0 || found == kUnits.end() || !std::isfinite(number) || number < 0) {
    throw Error(ErrorCode::kInvalidInput,
                "expected an amount of memory such as 512MiB or 2GiB, got '" + text + "'");
  }
  return static_cast<uint64_t>(number * found->second);
}

}  // namespace ingot
