"""Jobs trained with several processes: the bits of one process, whatever happens to the workers.

usage: distributed_test.py (INGOT_BINARY_DIR names the build folder)

What is compared is the SHA-256 of the final weights and what the ledger of samples says; times are
printed, and tested nowhere.
"""

import collections
import gzip
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("INGOT_BINARY_DIR", ROOT / "build"))
INGOT = BUILD / "ingot"
MNIST = ROOT / "tests" / "data" / "mnist"
MLP = ROOT / "examples" / "mnist" / "mnist.yaml"
JOBS = ROOT / "tests" / "distributed" / "jobs"
PATIENCE_S = 120


def weights(run):
    model = pathlib.Path(run) / "checkpoints" / "final" / "model.safetensors"
    return hashlib.sha256(model.read_bytes()).hexdigest()


def summary(run):
    return json.loads((pathlib.Path(run) / "summary.json").read_text())


def start(*arguments, env=None):
    environment = dict(os.environ, **(env or {}))
    return subprocess.Popen([str(word) for word in (INGOT, *arguments)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
                            cwd=tempfile.gettempdir(), start_new_session=True)


class Done:
    """Exit status and output of a program that has ended."""

    def __init__(self, *arguments, env=None):
        process = start(*arguments, env=env)
        self.out, self.err = finish(process, arguments)
        self.status = process.returncode


def finish(process, arguments):
    """Its output; where it hangs, it and its workers are ended."""
    try:
        return process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        words = [str(word) for word in arguments]
        if "--out" in words:
            end_all(words[words.index("--out") + 1])
        process.kill()
        out, err = process.communicate(timeout=10)
        raise AssertionError(f"{words} hung: {err[-2000:]}") from None


def end_all(run):
    for pid in pids(run).values():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def pids(run):
    """{"supervisor": pid, 0: pid, ...} as the run says."""
    found = {}
    try:
        for line in (pathlib.Path(run) / "pids").read_text().splitlines():
            words = line.split()
            if words[0] == "supervisor":
                found["supervisor"] = int(words[1])
            else:
                found[int(words[1])] = int(words[2])
    except FileNotFoundError:
        pass
    return found


def step_of(run):
    """The last step that the ledger says was done; -1 before the first."""
    try:
        lines = (pathlib.Path(run) / "samples.jsonl").read_text().splitlines()
        return json.loads(lines[-1])["step"] if lines else -1
    except (FileNotFoundError, ValueError):
        return -1


class Distributed(unittest.TestCase):
    def setUp(self):
        if not (BUILD / "libingot_transport_gloo.so").exists():
            self.skipTest("built without Gloo (libgloo-dev)")
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)

    def train(self, name, job, *options):
        run = self.folder / name
        done = Done("train", job, "--data", MNIST, "--out", run, "--quiet", *options)
        self.assertEqual(done.status, 0, done.err)
        return run

    def launch(self, name, workers, job, *options):
        run = self.folder / name
        done = Done("launch", "-n", workers, job, "--data", MNIST, "--out", run, *options)
        self.assertEqual(done.status, 0, done.err)
        return run

    def check_ledger(self, run, samples_per_epoch):
        """Every step once, in order; every sample of an epoch once."""
        lines = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
        self.assertEqual([line["step"] for line in lines], list(range(len(lines))))
        used = collections.defaultdict(list)
        for line in lines:
            used[line["epoch"]] += line["samples"]
            self.assertEqual(sum(count for _, count in line["ranks"]), len(line["samples"]))
        for epoch, samples in used.items():
            self.assertEqual(len(samples), samples_per_epoch, f"epoch {epoch}")
            self.assertEqual(len(set(samples)), samples_per_epoch, f"epoch {epoch}")
        return lines


class SameBits(Distributed):
    def compare(self, job, *options, workers=(1, 2, 3, 4, 7)):
        expected = weights(self.train("alone", job, *options))
        for count in workers:
            run = self.launch(f"with-{count}", count, job, *options)
            self.assertEqual(weights(run), expected, f"{count} workers")
            samples = summary(run)["samples_per_rank"]
            self.assertEqual(len(samples), count)
            self.assertTrue(all(number > 0 for number in samples), samples)
        return samples

    def test_mlp(self):
        self.compare(MLP, "--epochs", 2, "--set", "logical_shards=8")

    def test_files_are_those_of_train(self):
        alone = self.train("alone", MLP, "--epochs", 2)
        run = self.launch("shared", 2, MLP, "--epochs", 2)
        names = {path.name for path in alone.iterdir() if not path.name.startswith("events.")}
        self.assertLessEqual(names, {path.name for path in run.iterdir()})
        plain = [json.loads(line) for line in (alone / "metrics.jsonl").read_text().splitlines()]
        shared = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for record in plain + shared:
            del record["seconds"]
        self.assertEqual(shared, plain)
        self.assertEqual(summary(run)["test_accuracy"], summary(alone)["test_accuracy"])
        self.assertEqual(sum(summary(run)["samples_per_rank"]), 2 * 2000)

    def test_cnn_with_batch_norm(self):
        self.compare(JOBS / "cnn.yaml", workers=(2, 3, 7))

    def test_gpt_with_clipping(self):
        self.compare(JOBS / "gpt.yaml", workers=(2, 3, 7))

    def test_threads_do_not_matter(self):
        expected = weights(self.train("alone", JOBS / "cnn.yaml", "--threads", 1))
        run = self.launch("threads", 2, JOBS / "cnn.yaml", "--threads", 3)
        self.assertEqual(weights(run), expected)

    def test_more_workers_than_shards_stand_by(self):
        options = ("--epochs", 1, "--set", "logical_shards=2")
        expected = weights(self.train("alone", MLP, *options))
        run = self.folder / "spares"
        done = Done("launch", "-n", 3, MLP, "--data", MNIST, "--out", run, *options)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(weights(run), expected)
        self.assertIn("stands by", done.err)

    def test_resume(self):
        options = ("--set", "logical_shards=8")
        expected = weights(self.train("alone", MLP, "--epochs", 3, *options))
        run = self.launch("resumed", 2, MLP, "--epochs", 1, *options)
        done = Done("launch", "-n", 3, "--resume", run, "--data", MNIST, "--epochs", 3)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(weights(run), expected)
        self.assertGreater(summary(run)["resumed_from_step"], 0)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Workers(Distributed):
    """Workers that others start, and those that do not belong."""

    OPTIONS = (MLP, "--data", MNIST, "--epochs", 1, "--set", "logical_shards=8")

    def run_all(self, verb, environments, *options, job=OPTIONS):
        run = self.folder / "run"
        arguments = (verb, *job, "--out", run, *options)
        processes = [start(*arguments, env=environment) for environment in environments]
        for process in processes:
            self.addCleanup(lambda p=process: p.poll() is None and p.kill())
        ended = [finish(process, arguments) for process in processes]
        for process, (_, err) in zip(processes, ended):
            self.assertEqual(process.returncode, 0, err)
        self.assertEqual(weights(run), weights(self.train("alone", *job)))
        return run

    def test_file_rendezvous(self):
        url = f"file://{self.folder}/meeting"
        run = self.run_all("worker", [{"INGOT_TOKEN": "secret"}] * 3, "--rendezvous", url,
                           "--workers", 3)
        self.assertEqual(sorted(summary(run)["samples_per_rank"]), [500, 750, 750])

    def test_tcp_rendezvous(self):
        url = f"tcp://127.0.0.1:{free_port()}"
        self.run_all("worker", [{"INGOT_TOKEN": "secret"}] * 2, "--rendezvous", url, "--workers", 2)

    def test_torchrun(self):
        port = str(free_port())
        self.run_all("train", [{"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                                "MASTER_PORT": port} for rank in range(2)])

    def test_open_mpi(self):
        self.run_all("train", [{"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "2",
                                "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_NAMESPACE": self.folder.name}
                               for rank in range(2)])

    def test_slurm(self):
        run = self.run_all("train", [{"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": "2",
                                      "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": self.folder.name,
                                      "SLURM_STEP_ID": "0", "INGOT_HOST": "127.0.0.1"} for rank in range(2)])
        self.assertEqual(len(summary(run)["samples_per_rank"]), 2)

    def test_a_batch_script_of_slurm_is_one_process(self):
        run = self.folder / "run"
        done = Done("train", *self.OPTIONS, "--out", run, env={"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})
        self.assertEqual(done.status, 0, done.err)

    def refused(self, pattern, *options, token="secret"):
        """A second worker, which is not to be let in."""
        url = f"file://{self.folder}/meeting"
        common = ("--rendezvous", url, "--workers", 2)
        first = start("worker", *self.OPTIONS, "--out", self.folder / "run", *common,
                      env={"INGOT_TOKEN": "secret"})
        self.addCleanup(first.kill)
        self.wait_for(lambda: (self.folder / "meeting" / "card").exists(), first)
        done = Done("worker", *self.OPTIONS, "--out", self.folder / "other", *common, *options,
                    env={"INGOT_TOKEN": token})
        self.assertEqual(done.status, 2, done.err)
        self.assertRegex(done.err, pattern)
        self.assertNotIn("secret", done.err)
        first.kill()
        first.communicate(timeout=10)

    def test_another_token_is_refused(self):
        self.refused("the token is not that of this job", token="guess")

    def test_another_job_is_refused(self):
        self.refused(r"its job is another one: it has \w+, the job \w+", "--set", "data.batch=64")

    def test_other_data_are_refused(self):
        other = self.folder / "data"
        shutil.copytree(MNIST, other)
        images = other / "train-images-idx3-ubyte.gz"
        raw = bytearray(gzip.decompress(images.read_bytes()))
        for at in range(16, len(raw), 7):
            raw[at] ^= 255
        images.write_bytes(gzip.compress(bytes(raw)))
        self.refused(r"its training data is another one: it has [\w-]+, the job [\w-]+", "--data", other)

    def test_bad_arguments(self):
        for arguments, pattern in (
                (("launch", "-n", 0, MLP), "expected a whole number of 1 or more, got '0'"),
                (("worker", MLP), "needs --rendezvous URL"),
                (("worker", MLP, "--rendezvous", "http://x"), "is no address of a rendezvous"),
                (("worker", MLP, "--rendezvous", "tcp://x:99999999"), "is no address of a rendezvous"),
                (("launch", "-n", 2, MLP, "--set", "data.batch=-1"), "data.batch"),
                (("top", self.folder), "is no run directory")):
            done = Done(*arguments)
            self.assertEqual(done.status, 2, (arguments, done.err))
            self.assertRegex(done.err, pattern)

    def test_not_a_number_is_reported_with_its_rank(self):
        done = Done("launch", "-n", 2, MLP, "--data", MNIST, "--out", self.folder / "run", "--epochs", 3,
                    "--set", "optimizer.adam.learning_rate=1e38", "--set", "logical_shards=8")
        self.assertEqual(done.status, 1, done.err)
        self.assertRegex(done.err, "numerically unstable at step")
        self.assertEqual(done.err.count("error:"), 1, done.err)

    def wait_for(self, condition, process, seconds=60):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if condition():
                return
            self.assertIsNone(process.poll(), "it has ended too early")
            time.sleep(0.01)
        self.fail("did not come to pass")


class Elastic(Distributed):
    """Workers that die, stop and come again."""

    JOB = (MLP, "--epochs", 60, "--set", "logical_shards=8")
    SAMPLES = 2000

    def begin(self, workers, name="run", *options):
        run = self.folder / name
        process = start("launch", "-n", workers, *self.JOB, "--data", MNIST, "--out", run, "--ledger",
                        *options)
        self.addCleanup(lambda: process.poll() is None and (process.kill(), end_all(run)))
        self.wait_for(lambda: step_of(run) >= 5, process)
        return run, process

    def wait_for(self, condition, process, seconds=60):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if condition():
                return
            self.assertIsNone(process.poll(), "the run has ended too early")
            time.sleep(0.002)
        self.fail("did not come to pass")

    def finish(self, run, process, expected=None):
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 0, err[-3000:])
        self.check_ledger(run, self.SAMPLES)
        if expected is None:
            expected = weights(self.train("alone", *self.JOB))
        self.assertEqual(weights(run), expected, err[-3000:])
        return err

    def test_a_killed_worker_is_replaced(self):
        run, process = self.begin(3)
        before = pids(run)
        os.kill(before[1], signal.SIGKILL)
        at = step_of(run)
        self.wait_for(lambda: step_of(run) > at + 2 or process.poll() is not None, process)
        self.wait_for(lambda: pids(run).get(1) not in (None, before[1]), process)
        after = pids(run)
        self.assertEqual((after[0], after[2]), (before[0], before[2]), "survivors are not restarted")
        err = self.finish(run, process)
        self.assertIn("rank 1 was ended by signal 9", err)

    def test_the_lead_may_die(self):
        run, process = self.begin(3)
        os.kill(pids(run)[0], signal.SIGKILL)
        self.finish(run, process)

    def test_a_stopped_worker_is_left_out_and_comes_back(self):
        run, process = self.begin(3)
        stopped = pids(run)[2]
        os.kill(stopped, signal.SIGSTOP)
        try:
            time.sleep(0.7)
            at = step_of(run)
            self.wait_for(lambda: step_of(run) > at + 2, process)
        finally:
            os.kill(stopped, signal.SIGCONT)
        err = self.finish(run, process)
        # Any of them may have been the coordinator: then another takes its place, and says why.
        self.assertRegex(err, r"rank 2 \(.*\) has given no sign of life|"
                              r"the coordinator \(rank 2, .*\) has given no sign of life")

    def test_a_late_worker_is_named(self):
        os.environ["INGOT_SILENCE_SECONDS"] = "20"
        self.addCleanup(os.environ.pop, "INGOT_SILENCE_SECONDS")
        run, process = self.begin(3)
        # Not the one that coordinates: that one would be replaced, and say nothing.
        coordinator = json.loads((run / "rendezvous" / "coordinator-1").read_text())["pid"]
        rank, stopped = [(name, pid) for name, pid in pids(run).items()
                         if name != "supervisor" and pid != coordinator][0]
        os.kill(stopped, signal.SIGSTOP)
        time.sleep(2.5)
        os.kill(stopped, signal.SIGCONT)
        err = self.finish(run, process)
        self.assertRegex(err, rf"rank {rank} \(.*\) is late: .*; ranks \d, \d wait for its part of "
                              r"the reduction of .* in step \d+")

    def test_the_supervisor_may_die(self):
        run, process = self.begin(2)
        before = pids(run)
        process.kill()
        process.wait()
        self.addCleanup(end_all, run)
        until = time.monotonic() + 30
        while pids(run).get("supervisor") == before["supervisor"] and time.monotonic() < until:
            time.sleep(0.01)
        self.assertNotEqual(pids(run)["supervisor"], before["supervisor"])
        os.kill(pids(run)[1], signal.SIGKILL)
        while not (run / "summary.json").exists() and time.monotonic() < until + PATIENCE_S:
            time.sleep(0.05)
        self.check_ledger(run, self.SAMPLES)
        self.assertEqual(weights(run), weights(self.train("alone", *self.JOB)))

    def test_kill_storm(self):
        """A random process is killed or stopped every second, for a while."""
        seconds = float(os.environ.get("INGOT_STORM_SECONDS", "20"))
        job = (MLP, "--epochs", 100000, "--set", "logical_shards=8")
        run = self.folder / "run"
        process = start("launch", "-n", 4, *job, "--data", MNIST, "--out", run, "--ledger")
        self.addCleanup(end_all, run)
        self.wait_for(lambda: step_of(run) >= 5, process)
        stopped, pauses = [], []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            victims = pids(run)
            name = random.choice(sorted(victims, key=str))
            how = random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
            at = step_of(run)
            began = time.monotonic()
            try:
                os.kill(victims[name], how)
            except ProcessLookupError:
                continue
            if how == signal.SIGSTOP:
                stopped.append(victims[name])
            while step_of(run) <= at + 1 and time.monotonic() < began + 30:
                time.sleep(0.001)
            if name != "supervisor":
                pauses.append((time.monotonic() - began, name, how.name))
            time.sleep(max(0, began + 1 - time.monotonic()))
            while stopped and random.random() < 0.7:
                try:
                    os.kill(stopped.pop(), signal.SIGCONT)
                except ProcessLookupError:
                    pass
        for pid in stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        pauses.sort()
        print(f"{len(pauses)} losses, median pause {pauses[len(pauses) // 2][0] * 1000:.0f} ms, "
              f"longest {pauses[-1]}")
        # It would run for ever: Ctrl-C ends it after the step at hand.
        deadline = time.monotonic() + 60
        while not (run / "summary.json").exists() and time.monotonic() < deadline:
            for name, pid in pids(run).items():
                if name != "supervisor":
                    try:
                        os.kill(pid, signal.SIGINT)
                    except ProcessLookupError:
                        pass
            time.sleep(1)
        self.assertTrue((run / "summary.json").exists())
        lines = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
        self.assertEqual([line["step"] for line in lines], list(range(len(lines))))
        steps = summary(run)["steps"]
        self.assertEqual(len(lines), steps)
        used = collections.defaultdict(list)
        for line in lines:
            used[line["epoch"]] += line["samples"]
        whole = [samples for epoch, samples in used.items() if epoch < max(used)]
        for samples in whole:
            self.assertEqual(len(set(samples)), self.SAMPLES)
            self.assertEqual(len(samples), self.SAMPLES)
        alone = self.train("alone", MLP, "--set", "logical_shards=8", "--set", f"steps={steps}",
                           "--epochs", 0)
        last = sorted(path for path in (run / "checkpoints").iterdir() if "step-" in path.name)[-1]
        digest = hashlib.sha256((last / "model.safetensors").read_bytes()).hexdigest()
        self.assertEqual(digest, weights(alone))


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
        self.wait_until(lambda: step_of(run) >= 5, processes)
        coordinator = json.loads((self.folder / "meeting" / "coordinator-1").read_text())["host"]
        host = [h for h in range(3) if f"{self.net}.{h + 1}" != coordinator][0]
        self.ip("link", "set", f"{self.tag}o{host}", "down")
        began, at = time.monotonic(), step_of(run)
        self.wait_until(lambda: step_of(run) >= at + 2 and time.monotonic() > began + 0.2, processes)
        print(f"after a cut link the run went on in {1000 * (time.monotonic() - began):.0f} ms")
        time.sleep(0.3)
        self.ip("link", "set", f"{self.tag}o{host}", "up")
        errors = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
        self.assertEqual([process.returncode for process in processes], [0, 0, 0], errors)
        self.check_ledger(run, 2000)
        self.assertEqual(weights(run), weights(self.train("alone", *self.JOB)))

    def wait_until(self, condition, processes, seconds=60):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if condition():
                return
            for process in processes:
                if process.poll() is not None:
                    self.fail(f"a worker has ended too early: {process.communicate()[1]}")
            time.sleep(0.002)
        self.fail("did not come to pass")


if __name__ == "__main__":
    random.seed(int(os.environ.get("INGOT_TEST_SEED", "1")))
    unittest.main()
