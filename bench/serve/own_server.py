"""Ingot's own server as its tests start it (tests/serve), for benchmarks that name a build: Server(..., build=BUILD)."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "serve"))

from server import Server, add_model  # noqa: E402, F401
from slow_clients import SlowClients  # noqa: E402, F401
