"""`ingot worker --rendezvous etcd://...`: records in etcd, through its HTTP gateway."""

import http.server
import json
import shutil
import signal
import subprocess
import threading
import time
import urllib.request

from harness import (MLP, MNIST, PATIENCE_S, PATIENT, Distributed, Done, finish, free_port, start, step_of, summary,
                     weights)


class Etcd(Distributed):
    JOB = (MLP, "--data", MNIST, "--threads", 1, "--set", "logical_shards=8")
    TOKEN = {"INGOT_TOKEN": "secret"}

    def setUp(self):
        super().setUp()
        program = shutil.which("etcd")
        if program is None:
            self.skipTest("etcd (etcd-server) is not installed")
        self.port, peers = free_port(), free_port()
        own, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{peers}"
        self.command = [program, "--data-dir", str(self.folder / "etcd"), "--listen-client-urls", own,
                        "--advertise-client-urls", own, "--listen-peer-urls", peer,
                        "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
                        "--unsafe-no-fsync"]
        self.start_etcd()

    def start_etcd(self):
        with (self.folder / "etcd.log").open("a") as log:
            self.etcd = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=log)
        self.addCleanup(lambda process=self.etcd: (process.kill(), process.wait()))
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.ask("/v3/kv/range", {"key": "AA=="})
                return
            except OSError:
                self.assertLess(time.monotonic(), until, (self.folder / "etcd.log").read_text()[-2000:])
                if self.etcd.poll() is not None:
                    self.skipTest("etcd does not run here: " + (self.folder / "etcd.log").read_text()[-300:])
                time.sleep(0.05)

    def ask(self, path, request):
        body = json.dumps(request).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", body, timeout=5) as answer:
            return json.load(answer)

    def worker(self, *options, name="job", out="run", env=None):
        process = start("worker", *self.JOB, "--out", self.folder / out, "--rendezvous",
                        f"etcd://127.0.0.1:{self.port}/{name}", *options, env=env or self.TOKEN)
        self.addCleanup(lambda: (process.poll() is None and process.kill(), process.communicate()))
        return process

    def end(self, process):
        _, err = finish(process, ("worker",))
        self.assertEqual(process.returncode, 0, err)
        return err

    def test_the_bits_of_one_process(self):
        patient = {**self.TOKEN, **PATIENT}
        for process in [self.worker("--workers", 3, "--epochs", 1, env=patient) for _ in range(3)]:
            self.end(process)
        self.assertEqual(weights(self.folder / "run"), self.alone(MLP, "--epochs", 1, "--set", "logical_shards=8"))
        self.assertEqual(sorted(summary(self.folder / "run")["samples_per_rank"]), [500, 750, 750])
        records = self.ask("/v3/kv/range", {"key": "L2luZ290L2pvYi8=", "range_end": "L2luZ290L2pvYjA="})["kvs"]
        self.assertGreater(len(records), 3)
        self.assertEqual(len({record["lease"] for record in records}), 1, "they have one lease, and go with it")

    def test_another_takes_over_from_the_coordinator(self):
        run = self.folder / "run"
        workers = [self.worker("--workers", 3, "--epochs", 40, "--ledger", env={**self.TOKEN, "INGOT_RANK": str(rank)})
                   for rank in range(3)]
        self.wait_for(lambda: step_of(run) >= 5, workers[0])
        workers[0].send_signal(signal.SIGKILL)
        workers[0].communicate(timeout=PATIENCE_S)
        for process in workers[1:]:
            self.end(process)
        self.check_ledger(run, 2000)
        self.assertEqual(weights(run), self.alone(MLP, "--epochs", 40, "--set", "logical_shards=8"))

    def test_etcd_itself_may_be_gone_for_a_while(self):
        run = self.folder / "run"
        workers = [self.worker("--workers", 2, "--epochs", 60, "--ledger") for _ in range(2)]
        self.wait_for(lambda: step_of(run) >= 5, workers[0])
        self.etcd.kill()
        self.etcd.wait()
        self.start_etcd()
        for process in workers:
            self.end(process)
        self.check_ledger(run, 2000)
        self.assertEqual(weights(run), self.alone(MLP, "--epochs", 60, "--set", "logical_shards=8"))

    def test_two_jobs_with_the_same_name(self):
        first = self.worker("--workers", 2)
        self.wait_for(lambda: "kvs" in self.ask("/v3/kv/range", {"key": "L2luZ290L2pvYi9jYXJk"}), first)
        second = self.worker("--workers", 2, "--set", "data.batch=64", out="other")
        _, err = finish(second, ("worker",))
        self.assertEqual(second.returncode, 2, err)
        self.assertRegex(err, r"its job is another one: it has \w+, the job \w+")
        third = self.worker("--workers", 2, out="other", env={"INGOT_TOKEN": "guess"})
        _, err = finish(third, ("worker",))
        self.assertEqual(third.returncode, 2, err)
        self.assertIn("the token is not that of this job", err)

    def test_wrong_addresses(self):
        class NotFound(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.send_error(404)

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), NotFound)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(lambda: (server.shutdown(), server.server_close()))
        for url, status, pattern in (
                (f"etcd://127.0.0.1:{server.server_port}/job", 2, "is no etcd of version 3.4 or later: HTTP status 404"),
                (f"etcd://127.0.0.1:{free_port()}/job", 1, "no etcd answers at the rendezvous"),
                ("etcd://no-such-host.invalid:2379/job", 2, "is not known here"),
                ("etcd://127.0.0.1/job", 2, "is no address of a rendezvous")):
            done = Done("worker", *self.JOB, "--out", self.folder / "run", "--rendezvous", url, env=self.TOKEN)
            self.assertEqual(done.status, status, (url, done.err))
            self.assertRegex(done.err, pattern)
