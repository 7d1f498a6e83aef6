"""A full disk, and clocks that differ: what happens to a machine, not to a worker."""

import os
import shutil
import signal
import subprocess
import time

from harness import (MLP, MNIST, PATIENT, Distributed, Done, end_all, finish, free_port, pids, running,
                     start, step_of, weights)

# Loaded into a worker: its wall clock is that much ahead.
SKEWED_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long Skew(void) { const char* text = getenv("SKEW_SECONDS"); return text ? atol(text) : 0; }
int clock_gettime(clockid_t clock, struct timespec* now) {
  static int (*real)(clockid_t, struct timespec*);
  if (!real) real = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  const int status = real(clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec += Skew();
  return status;
}
time_t time(time_t* result) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result) *result = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval* result, void* zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  result->tv_sec = now.tv_sec;
  result->tv_usec = now.tv_nsec / 1000;
  return 0;
}
"""


class FullDisk(Distributed):
    """The run directory is on a disk of 3 MiB."""

    JOB = (MLP, "--data", MNIST, "--set", "logical_shards=8", "--threads", 1)

    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        mounted = shutil.which("mount") and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", self.disk], capture_output=True, check=False)
        if not mounted or mounted.returncode != 0:
            self.skipTest("a small file system can be mounted by root alone")
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=False)
        self.run_folder = self.disk / "run"

    def begin(self, *options):
        process = start("launch", "-n", 3, *self.JOB, "--out", self.run_folder, *options, env=PATIENT)
        self.addCleanup(lambda: process.poll() is None and (process.kill(), end_all(self.run_folder)))
        return process

    def fill(self):
        with open(self.disk / "fill", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def nothing_runs(self):
        self.wait_for(lambda: not running(f"--out={self.run_folder}"), every=0.05, seconds=20,
                      otherwise="a worker was left behind")

    def test_the_newest_checkpoint_stays(self):
        process = self.begin("--epochs", 100000, "--set", "checkpoint.every_steps=10")
        checkpoints = self.run_folder / "checkpoints"
        self.wait_for(lambda: checkpoints.exists() and len(list(checkpoints.glob("step-*"))) >= 2, process)
        self.fill()
        _, err = finish(process, ("--out", self.run_folder))
        self.assertEqual(process.returncode, 1, err)
        self.assertRegex(err, r"error: cannot write .*/disk/run/.*: No space left on device")
        self.assertIn("hint: the disk or quota is full", err)
        self.assertEqual(err.count("error:"), 1, err)
        self.nothing_runs()
        (self.disk / "fill").unlink()
        newest = int(sorted(checkpoints.glob("step-*"))[-1].name.split("-")[1])
        steps = ("--set", f"steps={newest + 10}", "--epochs", 0)
        done = Done("launch", "-n", 2, "--resume", self.run_folder, "--data", MNIST, *steps)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(weights(self.run_folder), self.alone(MLP, "--set", "logical_shards=8", *steps))

    def test_a_lost_worker_and_nothing_can_be_written(self):
        """Neither the list of processes nor the records of a new group."""
        process = self.begin("--epochs", 100000, "--set", "checkpoint.every_steps=1000000")
        self.wait_for(lambda: len(pids(self.run_folder)) == 4 and
                      (self.run_folder / "rendezvous" / "epoch-1").exists(), process)
        self.fill()
        os.kill(pids(self.run_folder)[1], signal.SIGKILL)
        _, err = finish(process, ("--out", self.run_folder))
        self.assertNotEqual(process.returncode, 0, err)
        self.assertRegex(err, r"error: cannot write .*No space left on device")
        self.assertLess(err.count("No space left on device"), 30, "it is said again and again")
        self.nothing_runs()


class Clocks(Distributed):
    JOB = (MLP, "--data", MNIST, "--epochs", 20, "--set", "logical_shards=8", "--threads", 1)

    def train_with(self, commands, environments):
        """Workers with clocks of their own; the one that coordinates is killed on the way."""
        run = self.folder / "run"
        arguments = ("worker", *self.JOB, "--out", run, "--ledger", "--workers", 3, "--rendezvous",
                     f"tcp://127.0.0.1:{free_port()}")
        workers = []
        for rank, (command, environment) in enumerate(zip(commands, environments)):
            environment = {"INGOT_RANK": str(rank), "INGOT_TOKEN": "secret", **environment}
            workers.append(start(*arguments, env=environment, under=command))
            self.addCleanup(lambda p=workers[-1]: p.poll() is None and p.kill())
        self.wait_for(lambda: step_of(run) >= 5, *workers)
        workers[2].send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        workers[2].send_signal(signal.SIGCONT)
        errors = [finish(worker, arguments)[1] for worker in workers]
        self.assertEqual([worker.returncode for worker in workers], [0, 0, 0], errors)
        self.check_ledger(run, 2000)
        self.assertEqual(weights(run), self.alone(MLP, *self.JOB[3:]))

    def test_wall_clocks_that_differ_by_hours(self):
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            self.skipTest("no C compiler for a clock of its own")
        library = self.folder / "clock.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library, "-ldl"], input=SKEWED_CLOCK,
                       text=True, check=True)
        skewed = [{"LD_PRELOAD": str(library), "SKEW_SECONDS": str(skew)} for skew in (0, 7200, -86400)]
        self.train_with([(), (), ()], skewed)

    def test_machines_that_were_started_at_other_times(self):
        """Steady clocks count from each machine's start."""
        ahead = ("unshare", "--time", "--fork", "--kill-child", "--monotonic", "100000", "--boottime", "100000")
        if shutil.which("unshare") is None or subprocess.run([*ahead, "true"], capture_output=True,
                                                             check=False).returncode != 0:
            self.skipTest("no namespaces of clocks can be made here")
        self.train_with([ahead, (), ()], [{}, {}, {}])
