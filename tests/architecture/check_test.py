"""Tests of check.py: each rule finds a planted fault, and a clean tree has none."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import check  # noqa: E402

ROOMS = """# Rooms.
ingot_room(base LINK fmt::fmt)
ingot_room(tensor SEES base)
ingot_room(cpu HOT "/(a|b)\\.cc$" SEES tensor FOLDER backends/cpu LINK hwy::hwy)
ingot_room(data SEES tensor)
"""
HEADER = "// What it is.\n#pragma once\n"


class CheckTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.write("CMakeLists.txt", ROOMS)
        self.write("src/ingot/base/error.h", HEADER)
        self.write("src/ingot/data/idx.h", HEADER + '#include "ingot/base/error.h"\n')
        self.write("src/backends/cpu/gemm.h", HEADER + '#include "ingot/tensor/shape.h"\n')

    def tearDown(self):
        self.folder.cleanup()

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def assert_only_fault(self, expected):
        faults = check.check(self.root)
        self.assertEqual(len(faults), 1, faults)
        self.assertIn(expected, faults[0])

    def test_clean_tree(self):
        self.assertEqual(check.check(self.root), [])

    def test_include_upwards(self):
        self.write("src/ingot/base/bad.cc", '// Bad.\n#include "ingot/data/idx.h"\n')
        self.assert_only_fault("src/ingot/base/bad.cc:2: base must not include ingot/data/idx.h")

    def test_include_sideways(self):
        self.write("src/ingot/data/bad.cc", '// Bad.\n#include "backends/cpu/gemm.h"\n')
        self.assert_only_fault("data must not include backends/cpu/gemm.h: it sees base, tensor")

    def test_include_of_unknown_room(self):
        self.write("src/ingot/data/bad.cc", '// Bad.\n#include "ingot/cloud/x.h"\n')
        self.assert_only_fault("ingot/cloud/x.h belongs to no room")

    def test_room_that_sees_a_later_one(self):
        self.write("CMakeLists.txt", ROOMS.replace("tensor SEES base", "tensor SEES base data"))
        self.assert_only_fault("room tensor sees data, which is not declared before it")

    def test_file_without_comment(self):
        self.write("src/ingot/data/bad.cc", "int x = 1;\n")
        self.assert_only_fault("begins without a comment")

    def test_script_without_comment(self):
        self.write("tools/bad.py", "#!/usr/bin/env python3\nprint(1)\n")
        self.assert_only_fault("tools/bad.py:1: begins without a comment")

    def test_long_file(self):
        self.write("src/ingot/data/long.cc", "// Long.\n" + "int x;\n" * 600)
        self.assert_only_fault("has 601 lines")

    def test_long_file_with_reason(self):
        self.write("src/ingot/data/long.cc",
                   "// Long: over 600 lines as it is one table.\n" + "int x;\n" * 600)
        self.assertEqual(check.check(self.root), [])

    def test_home_path(self):
        home = "/" + "home/somebody/data"
        self.write("docs/page.md", f"Put it into {home} first.\n")
        self.assert_only_fault("docs/page.md:1: an absolute path of somebody's home")

    def test_header_without_pragma(self):
        self.write("src/ingot/data/bad.h", "// Bad.\n")
        self.assert_only_fault("has no #pragma once")

    def test_using_namespace_in_header(self):
        self.write("src/ingot/data/bad.h", HEADER + "using namespace std;\n")
        self.assert_only_fault("'using namespace' in a header")

    def test_build_folders_are_not_looked_at(self):
        self.write("build-x/bad.cc", "int x;\n")
        self.assertEqual(check.check(self.root), [])


if __name__ == "__main__":
    unittest.main()
