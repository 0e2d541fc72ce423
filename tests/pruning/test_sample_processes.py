# SPDX-License-Identifier: Apache-2.0
"""plan and prune by several processes under a real launcher: what one process makes of the same samples, written and told
once; a process that dies ends the job and leaves no file. Argument: the pollard program."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

POLLARD = sys.argv[1]
MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cases", "syn_flatten_bn_fc.pt2")
# Open MPI leaks in plugins that it unloads, where no suppression of LeakSanitizer could name them.
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1",
                   ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
# Of a repaired weight, relative to its norm: products of float32 are added up in other blocks.
TOLERANCE = 1e-4


def command(processes, *arguments):
    launcher = ["mpirun", "--oversubscribe", "-n", str(processes)] if processes > 1 else []
    return launcher + [POLLARD, *arguments, "--threads", "1"]


def run(processes, *arguments, exit_code=0):
    done = subprocess.run(command(processes, *arguments), env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == exit_code, (processes, arguments, done.returncode, done.stderr)
    return done


def pruned(processes, *arguments):
    """Removed units by group, and weights."""
    out = f"{processes}.safetensors"
    done = run(processes, "prune", MODEL, out, "--force", *arguments)
    assert done.stdout.count("wrote ") == 1 and done.stderr.count("next: ") == 1, done.stdout + done.stderr
    with safe_open(out, "np") as file:
        plan = json.loads(file.metadata()["pollard.plan"])
    return {g["id"]: g["removed"] for g in plan["groups"]}, load_file(out)


def check_prune(*arguments):
    plan, weights = pruned(1, *arguments)
    assert any(plan.values())
    for processes in (2, 4):
        other_plan, other_weights = pruned(processes, *arguments)
        assert other_plan == plan, (processes, arguments)
        worst = max(np.linalg.norm(other_weights[k] - w) / max(np.linalg.norm(w), 1e-30)
                    for k, w in weights.items() if w.dtype.kind == "f")
        assert worst < TOLERANCE, (processes, arguments, worst)
        print(f"{processes} processes {' '.join(arguments)}: the same units, weights within {worst:.1e}")


def check_plans():
    arguments = ["--calib", "samples.npz", "--criterion", "fisher", "--speedup", "1.5x"]
    for processes in (1, 2):
        run(processes, "plan", MODEL, *arguments, "-o", f"plan{processes}.json")
    assert open("plan1.json").read() == open("plan2.json").read()
    for what in (["--sensitivity"], ["--sweep", "0.2:0.6:0.2"]):
        one, two = (run(processes, "plan", MODEL, "--calib", "samples.npz", *what, "--json").stdout for processes in (1, 2))
        assert one == two, (one, two)  # one document; every curve is one process's, to the last bit
    print("plans, sensitivities and sweeps of two processes are those of one, byte for byte")


def check_refusals():
    for clock in (["--latency", "0.5x"], ["--speedup", "2x", "--round-to", "auto"]):
        done = run(2, "plan", MODEL, *clock, exit_code=2)
        assert "E0206" in done.stderr, done.stderr
    print("targets that are measured by the clock are refused")


def check_death():
    np.savez("many.npz", x=np.zeros((200_000, 3, 8, 8), np.float32))
    job = subprocess.Popen(command(2, "prune", MODEL, "dead.safetensors", "--calib", "many.npz", "--criterion", "fisher",
                                   "--speedup", "1.5x"),
                           env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    children = []
    while len(children) < 2:
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.05)
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(job.pid)], capture_output=True, text=True).stdout.split()
    time.sleep(0.5)
    os.kill(int(children[1]), signal.SIGKILL)
    message = job.communicate(timeout=60)[1]
    assert job.returncode != 0 and "signal 9" in message, (job.returncode, message)
    assert not os.path.exists("dead.safetensors")
    print("a dying process ends the job, and nothing is written")


if not shutil.which("mpirun"):
    sys.exit(print("not run: this machine has no mpirun") or 0)
folder = tempfile.mkdtemp()
os.chdir(folder)
try:
    generator = np.random.default_rng(0)
    np.savez("samples.npz", x=generator.standard_normal((96, 3, 8, 8)).astype(np.float32), labels=np.arange(96) % 5)
    check_prune("--calib", "samples.npz", "--criterion", "taylor", "--speedup", "1.5x")
    check_prune("--calib", "samples.npz", "--criterion", "least-squares", "--scope", "predicted", "--speedup", "2x",
                "--steps", "2")
    check_prune("--ratio", "0.5")
    check_plans()
    check_refusals()
    check_death()
finally:
    os.chdir("/")
    shutil.rmtree(folder)
