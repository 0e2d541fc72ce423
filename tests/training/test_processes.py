# SPDX-License-Identifier: Apache-2.0
"""Training by several processes: the same course as one process at the same global batch, and a process that dies ends
the job and leaves the last checkpoint whole. Argument: the pollard program."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
from safetensors.numpy import load_file

POLLARD = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
# Open MPI leaks in plugins that it unloads, where no suppression of LeakSanitizer could name them.
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1",
                   ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
# Losses and weights of several processes may differ from those of one by rounding: sums over a batch are split.
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 1e-5, 2e-4
# A repair on the way solves least squares from sums that are split as well: it amplifies their rounding (docs/training.md).
REPAIRED = 1e-3


def command(processes, *arguments):
    launcher = ["mpirun", "--oversubscribe", "-n", str(processes)] if processes > 1 else []
    return launcher + [POLLARD, "train", os.path.join(HERE, "data", "net.pt2"), "data.npz", *arguments,
                       "--batch", "32", "--threads", "1"]


def train(processes, out, *arguments):
    run = subprocess.run(command(processes, out, "--json", "--force", *arguments), env=ENVIRONMENT, capture_output=True,
                         text=True)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["processes"] == processes, report
    return [epoch["loss"] for epoch in report["epochs"]], [epoch["validation"] for epoch in report["epochs"]], load_file(out)


def check_same_course(*arguments, tolerance=WEIGHT_TOLERANCE):
    losses, figures, weights = train(1, "one.safetensors", *arguments)
    assert losses[-1] < losses[0], losses
    for processes in (2, 4):
        others, other_figures, other_weights = train(processes, f"{processes}.safetensors", *arguments)
        gap = max(abs(a - b) for a, b in zip(losses, others))
        assert gap < LOSS_TOLERANCE, (processes, losses, others)
        assert figures[-1]["top1"] == other_figures[-1]["top1"]
        distance = max(np.abs(weights[k] - other_weights[k]).max() for k in weights)
        assert distance < tolerance, (processes, distance)
        print(f"{processes} processes {' '.join(arguments)}: losses within {gap:.1e}, weights within {distance:.1e}")


def check_death():
    arguments = ["dead.safetensors", "--epochs", "100000", "--checkpoint", "dead.checkpoint"]
    job = subprocess.Popen(command(2, *arguments), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           text=True)
    while not os.path.exists("dead.checkpoint"):
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.05)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(job.pid)], capture_output=True, text=True).stdout.split()
    assert len(children) == 2, children
    os.kill(int(children[1]), signal.SIGKILL)
    message = job.communicate(timeout=60)[1]
    assert job.returncode != 0
    assert "signal 9" in message, message
    assert not os.path.exists("dead.safetensors")
    saved = load_file("dead.checkpoint")
    assert all(np.isfinite(saved[k]).all() for k in saved if k.startswith("weight/"))
    refused = subprocess.run([POLLARD, "train", os.path.join(HERE, "data", "net.pt2"), "data.npz", *arguments, "--resume",
                              "--batch", "16"], env=ENVIRONMENT, capture_output=True, text=True)
    assert "E0385" in refused.stderr, refused.stderr  # read whole, and of another run
    print("a dying process ends the job; its checkpoint is whole")


folder = tempfile.mkdtemp()
os.chdir(folder)
try:
    generator = np.random.default_rng(0)
    labels = np.arange(192) % 4
    waves = np.sin(np.arange(36) * 0.4 * (labels[:, None] + 1)) + 0.3 * generator.standard_normal((192, 36))
    np.savez("data.npz", x=waves.astype(np.float32).reshape(192, 1, 6, 6), labels=labels)
    np.savez("val.npz", x=waves[:50].astype(np.float32).reshape(50, 1, 6, 6), labels=labels[:50])
    check_same_course("--epochs", "3", "--val", "val.npz", "--augment", "RandomCrop(6,padding=1)", "--mixup", "0.2",
                      "--clip", "5")
    pruned = ["--epochs", "3", "--val", "val.npz", "--speedup", "1.5x", "--sparse", "group-l2", "--criterion", "taylor"]
    check_same_course(*pruned, "--repair", "none")
    check_same_course(*pruned, tolerance=REPAIRED)
    check_death()
finally:
    os.chdir("/")
    shutil.rmtree(folder)
