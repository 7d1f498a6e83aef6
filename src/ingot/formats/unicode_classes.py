#!/usr/bin/env python3
"""Writes unicode_classes.cc: which code points are letters (L*), numbers (N*) or white space.

The classes are those of the Unicode version that this Python knows; white space is the property
White_Space, as in regular expressions. Run it here: ./unicode_classes.py > unicode_classes.cc
"""
import unicodedata

SPACES = {9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
SPACES |= set(range(0x2000, 0x200B))


def class_of(code: int) -> int:
    """The number of the class in CharacterClass."""
    category = unicodedata.category(chr(code))
    if category[0] == "L":
        return 1
    if category[0] == "N":
        return 2
    return 3 if code in SPACES else 0


def main() -> None:
    runs = []
    last = -1
    for code in range(0x110000):
        if class_of(code) != last:
            last = class_of(code)
            runs.append(code << 2 | last)
    print(f"""// The classes of all code points, Unicode {unicodedata.unidata_version}. Written by unicode_classes.py.
//
// Each entry begins a run of code points of one class: first << 2 | class.
// clang-format off
#include "ingot/formats/unicode.h"

namespace ingot::formats {{

std::span<const uint32_t> CharacterClassRuns() {{
  static constexpr uint32_t kRuns[] = {{""")
    for i in range(0, len(runs), 11):
        print("    " + " ".join(f"{run}," for run in runs[i:i + 11]))
    print("""  };
  return kRuns;
}

}  // namespace ingot::formats""")


if __name__ == "__main__":
    main()
