# SPDX-License-Identifier: Apache-2.0
"""What the measurements of docs/training.md share: the program, exported networks, and runs of it as JSON."""
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "networks")]
POLLARD = os.environ.get("POLLARD", "pollard")
LAUNCH = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1",
              OMPI_MCA_mpi_yield_when_idle="1")


def first(x, count):
    """The first samples of an input, or of several by name."""
    return {name: v[:count] for name, v in x.items()} if isinstance(x, dict) else x[:count]


def tensors(x):
    return tuple(x.values()) if isinstance(x, dict) else (x,)


def export(model, x, path):
    """Writes a network in evaluation mode, for any batch."""
    batch = torch.export.Dim("batch", min=2)
    inputs = tuple(t.clone() for t in tensors(first(x, 2)))  # a view would take all of x into the file
    torch.export.save(torch.export.export(model.eval(), inputs, dynamic_shapes=[{0: batch}] * len(inputs)), path)


def save(path, x, y):
    named = x if isinstance(x, dict) else {"x": x}
    np.savez(path, **{name: v.numpy() for name, v in named.items()}, **{"labels" if y.dtype == torch.int64 else "targets": y.numpy()})


def pollard(*arguments, processes=1, threads=int(os.environ.get("POLLARD_THREADS", "1"))):
    """Runs a command; returns its JSON."""
    launcher = ["mpirun", "--bind-to", "core", "-n", str(processes)] if processes > 1 else []
    line = launcher + [POLLARD, *map(str, arguments), "--threads", str(threads), "--json"]
    run = subprocess.run(line, env=LAUNCH, capture_output=True, text=True)
    if run.returncode:
        sys.exit(" ".join(line) + "\n" + run.stderr)
    return json.loads(run.stdout.strip().splitlines()[-1])


def rate(report):
    """Samples a second of the best epoch but the first."""
    epochs = report["epochs"][1:] or report["epochs"]
    return max(e["samples"] / e["seconds"] for e in epochs)
