"""Jobs that mpirun and mpiexec start: the weights are those of one process.

Under Open MPI's mpirun MPI carries the tensors; under Hydra's mpiexec (MPICH) the processes meet over
PMI, and Gloo does.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from harness import BUILD, INGOT, JOBS, MLP, MNIST, PATIENCE_S, PATIENT, Distributed, Done, running, summary, weights

# As root and with more processes than CPUs, both of which mpirun refuses otherwise.
ENVIRONMENT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_rmaps_base_oversubscribe": "1", **PATIENT}
if "ASAN_OPTIONS" in os.environ:
    # Open MPI does not give back what its components allocate, and these are unloaded by the time
    # leaks are looked for, so that they cannot be told from ours by name.
    ENVIRONMENT["ASAN_OPTIONS"] = os.environ["ASAN_OPTIONS"] + ":detect_leaks=0"

# mpirun sleeps so long between its SIGTERM and its SIGKILL: time for a checkpoint on a busy machine.
TIME_TO_SAVE = {"OMPI_MCA_odls_base_sigkill_timeout": "15"}


class OpenMpi(Distributed):
    OPTIONS = ("--data", MNIST, "--threads", 1, "--set", "logical_shards=8")

    def setUp(self):
        super().setUp()
        if not (BUILD / "libingot_transport_mpi.so").exists():
            self.skipTest("built without Open MPI (libopenmpi-dev)")
        if shutil.which("mpirun") is None:
            self.skipTest("mpirun (openmpi-bin) is not installed")

    def start(self, processes, *command, env=None):
        # Open MPI keeps sockets in its folder, whose path must be short.
        scratch = tempfile.TemporaryDirectory(prefix="mpi", dir="/tmp")
        self.addCleanup(scratch.cleanup)
        words = ["mpirun", "-n", str(processes), *(str(word) for word in command)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, cwd=self.folder,
                                   env=dict(os.environ, **ENVIRONMENT, TMPDIR=scratch.name, **(env or {})))
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def end(self, process):
        out, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out, err

    def mpirun(self, processes, job, *options, env=None):
        run = self.folder / f"mpi-{processes}"
        status, out, err = self.end(self.start(processes, INGOT, "train", job, *self.OPTIONS, *options,
                                               "--out", run, env=env))
        self.assertEqual(status, 0, err)
        self.assertIn("over Open MPI", err)
        return run, out, err

    def test_the_bits_of_one_process(self):
        one = self.alone(MLP, "--epochs", 1, "--set", "logical_shards=8")
        for processes, samples in ((2, [1000, 1000]), (4, [500] * 4)):
            run, out, _ = self.mpirun(processes, MLP, "--epochs", 1)
            self.assertEqual(weights(run), one)
            self.assertEqual(summary(run)["samples_per_rank"], samples)
            self.assertEqual(summary(run)["status"], "finished")
            self.assertEqual(out.count("samples_per_rank") + out.count("of memory"), 1, "rank 0 alone reports")

    def test_batch_norm_compression_and_rounds(self):
        for name, options in (("bn", ()), ("bf16", ("--set", "train.compression=bf16")),
                              ("diloco", ("--set", "train.sync=diloco", "--set", "train.inner_steps=5",
                                          "--set", "train.replicas=2"))):
            job = JOBS / "cnn.yaml"
            run, _, _ = self.mpirun(2, job, *options)
            other = self.launch(name, 2, job, "--set", "logical_shards=8", *options)
            self.assertEqual(weights(run), weights(other), name)
            shutil.rmtree(run)

    def test_a_wrong_job_ends_all_with_its_status(self):
        status, _, err = self.end(self.start(2, INGOT, "train", MLP, "--set", "data.batch=-1"))
        self.assertEqual(status, 2, err)
        self.assertIn("data.batch", err)

    def test_a_rank_that_fails_ends_all(self):
        """One without its data, as on a machine where a disk is not mounted."""
        script = 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then data=/nowhere; else data=$2; fi; ' \
                 'exec "$1" train "$3" --data "$data" --out "$4"'
        status, _, err = self.end(self.start(3, "sh", "-c", script, "sh", INGOT, MNIST, MLP,
                                             self.folder / "run"))
        self.assertEqual(status, 2, err)
        self.assertIn("/nowhere", err)

    def test_another_job_on_a_rank_is_refused(self):
        script = 'exec "$1" train "$3" --data "$2" --out "$4" --set data.batch=$((100 + OMPI_COMM_WORLD_RANK))'
        status, _, err = self.end(self.start(2, "sh", "-c", script, "sh", INGOT, MNIST, MLP,
                                             self.folder / "run"))
        self.assertEqual(status, 2, err)
        self.assertRegex(err, r"its job is another one: it has \w+, the job \w+")

    def test_interrupted_and_resumed(self):
        run = self.folder / "run"
        options = (MLP, *self.OPTIONS, "--epochs", 150)
        process = self.start(2, INGOT, "train", *options, "--out", run, env=TIME_TO_SAVE)
        metrics = run / "metrics.jsonl"
        self.wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 3, process)
        process.send_signal(signal.SIGINT)
        status, _, err = self.end(process)
        self.assertNotEqual(status, 0, err)
        self.assertTrue(any((run / "checkpoints").iterdir()), err)
        self.assertFalse(running("--out " + str(run)), "a process was left behind")
        status, _, err = self.end(self.start(2, INGOT, "train", "--resume", run))
        self.assertEqual(status, 0, err)
        self.assertEqual(weights(run), self.alone(MLP, "--epochs", 150, "--set", "logical_shards=8"))

    def test_a_killed_rank_ends_all_with_a_checkpoint(self):
        run = self.folder / "run"
        options = (MLP, *self.OPTIONS, "--epochs", 150)
        process = self.start(3, INGOT, "train", *options, "--out", run, env=TIME_TO_SAVE)
        metrics = run / "metrics.jsonl"
        self.wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 3, process)
        os.kill(process_of_rank(2, f"--out {run}"), signal.SIGKILL)
        status, _, err = self.end(process)
        self.assertEqual(status, 128 + signal.SIGKILL, err)
        self.assertEqual(running(f"--out {run}"), [], "a process was left behind")
        status, _, err = self.end(self.start(2, INGOT, "train", "--resume", run))
        self.assertEqual(status, 0, err)
        self.assertEqual(weights(run), self.alone(MLP, "--epochs", 150, "--set", "logical_shards=8"))

    def test_a_mesh(self):
        """Channels of a mesh have tags of their own."""
        job = (MLP, "--epochs", 1, "--set", "mesh.data=2", "--set", "mesh.tensor=2")
        run, _, _ = self.mpirun(4, *job)
        self.assertEqual(weights(run), weights(self.launch("gloo", 4, *job, "--set", "logical_shards=8")))

    def test_more_ranks_than_shards(self):
        run, _, _ = self.mpirun(3, MLP, "--epochs", 1, "--set", "logical_shards=2")
        self.assertEqual(weights(run), self.alone(MLP, "--epochs", 1, "--set", "logical_shards=2"))
        self.assertEqual(summary(run)["samples_per_rank"], [1000, 1000])


def process_of_rank(rank, words):
    for pid in running(words):
        if f"OMPI_COMM_WORLD_RANK={rank}".encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return pid
    raise AssertionError(f"no process has rank {rank}")


class Hydra(Distributed):
    def test_the_bits_of_one_process(self):
        if shutil.which("mpiexec.hydra") is None:
            self.skipTest("mpiexec.hydra (mpich) is not installed")
        run = self.folder / "run"
        options = (MLP, "--data", MNIST, "--epochs", 1, "--set", "logical_shards=8")
        words = ["mpiexec.hydra", "-n", 3, INGOT, "train", *options, "--out", run, "--threads", 1]
        done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=dict(os.environ, **PATIENT), timeout=PATIENCE_S, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(weights(run), self.alone(*options))
        self.assertEqual(sorted(summary(run)["samples_per_rank"]), [500, 750, 750])

    def test_something_else_at_the_launchers_socket(self):
        done = Done("train", MLP, "--data", MNIST, "--out", self.folder / "run",
                    env={"PMI_RANK": "0", "PMI_SIZE": "2", "PMI_FD": "0"})
        self.assertEqual(done.status, 1, done.err)
        self.assertIn("cannot meet the other processes over PMI", done.err)
