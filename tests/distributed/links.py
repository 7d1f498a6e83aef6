"""Machines whose links are cut and restored."""

import json
import os
import random
import shutil
import subprocess
import time

from harness import INGOT, MLP, MNIST, PATIENCE_S, Distributed, step_of, weights


class Links(Distributed):
    """Machines, as network namespaces that a bridge joins: links are cut and restored."""

    JOB = (MLP, "--epochs", 60, "--set", "logical_shards=8")

    def ip(self, *words):
        return subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, check=False)

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0 or shutil.which("ip") is None:
            self.skipTest("network namespaces need root and iproute2")
        self.tag = f"ig{os.getpid() % 10000}"
        self.net = f"10.{random.randrange(64, 128)}.{random.randrange(256)}"
        if self.ip("link", "add", f"{self.tag}b", "type", "bridge").returncode != 0:
            self.skipTest("no network namespaces can be made here")
        self.addCleanup(self.ip, "link", "del", f"{self.tag}b")
        self.ip("link", "set", f"{self.tag}b", "up")
        for host in range(3):
            space, outer, inner = f"{self.tag}n{host}", f"{self.tag}o{host}", f"{self.tag}i{host}"
            if self.ip("netns", "add", space).returncode != 0:
                self.skipTest("no network namespaces can be made here")
            self.addCleanup(self.ip, "netns", "del", space)
            self.ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            self.ip("link", "set", outer, "master", f"{self.tag}b", "up")
            self.ip("link", "set", inner, "netns", space)
            self.ip("-n", space, "addr", "add", f"{self.net}.{host + 1}/24", "dev", inner)
            self.ip("-n", space, "link", "set", inner, "up")
            self.ip("-n", space, "link", "set", "lo", "up")

    def test_a_cut_link(self):
        run = self.folder / "run"
        processes = []
        for host in range(3):
            command = ["ip", "netns", "exec", f"{self.tag}n{host}", INGOT, "worker", *self.JOB, "--data",
                       MNIST, "--out", run, "--rendezvous", f"file://{self.folder}/meeting", "--workers",
                       3, "--ledger", "--threads", 1]
            environment = dict(os.environ, INGOT_HOST=f"{self.net}.{host + 1}", INGOT_RANK=str(host),
                               INGOT_TOKEN="secret")
            processes.append(subprocess.Popen([str(word) for word in command], env=environment,
                                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                              stderr=subprocess.PIPE, text=True))
            self.addCleanup(processes[-1].kill)
        self.wait_for(lambda: step_of(run) >= 5, *processes)
        coordinator = json.loads((self.folder / "meeting" / "coordinator-1").read_text())["host"]
        host = [h for h in range(3) if f"{self.net}.{h + 1}" != coordinator][0]
        self.ip("link", "set", f"{self.tag}o{host}", "down")
        began, at = time.monotonic(), step_of(run)
        self.wait_for(lambda: step_of(run) >= at + 2 and time.monotonic() > began + 0.2, *processes)
        print(f"after a cut link the run went on in {1000 * (time.monotonic() - began):.0f} ms")
        time.sleep(0.3)
        self.ip("link", "set", f"{self.tag}o{host}", "up")
        errors = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
        self.assertEqual([process.returncode for process in processes], [0, 0, 0], errors)
        self.check_ledger(run, 2000)
        self.assertEqual(weights(run), self.alone(*self.JOB))
