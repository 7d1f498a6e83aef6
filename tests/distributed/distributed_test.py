"""Jobs trained with several processes: the bits of one process, whatever happens to the workers.

usage: distributed_test.py [CLASS[.TEST] ...] (INGOT_BINARY_DIR names the build folder)
"""

import os
import random
import unittest

from elastic import Elastic  # noqa: F401
from ending import Ending  # noqa: F401
from faults import Clocks, FullDisk  # noqa: F401
from links import Links  # noqa: F401
from mesh import Mesh  # noqa: F401
from not_finite import NotFinite  # noqa: F401
from same_bits import SameBits  # noqa: F401
from sharded import Sharded  # noqa: F401
from sync_modes import Async, Compression, LocalRounds  # noqa: F401
from workers import Workers  # noqa: F401

if __name__ == "__main__":
    random.seed(int(os.environ.get("INGOT_TEST_SEED", "1")))
    unittest.main()
