"""Keeps one CPU busy for so many seconds, or until the process that started it is gone.

usage: busy.py SECONDS
"""

import os
import sys
import time

parent = os.getppid()
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end and os.getppid() == parent:
    for _ in range(100_000):
        pass
