"""Workers of several machines: what starts them, and where they meet.

usage: launchers_test.py [CLASS[.TEST] ...] (INGOT_BINARY_DIR names the build folder)
"""

import unittest

from etcd import Etcd  # noqa: F401
from hosts import Hosts  # noqa: F401
from open_mpi import Hydra, OpenMpi  # noqa: F401

if __name__ == "__main__":
    unittest.main()
