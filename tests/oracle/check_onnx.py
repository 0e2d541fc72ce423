#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exports networks to ONNX with pollard and compares onnxruntime with PyTorch: no pollard code computes anything.

    check_onnx.py POLLARD [--keep FOLDER] NETWORK.pt2 ...

Each network is opened with torch.export.load and run on its example inputs; the .onnx file is run on the same. Outputs
must agree within 1e-5 of the largest (float32), and as often as the batch may change also on the samples twice over.
Networks that pollard refuses with E0470 are listed with the op; anything else that goes wrong fails.
"""
import os
import re
import subprocess
import sys
import tempfile
import warnings

import numpy
import onnxruntime
import torch

from check_pruned import has_symbolic_batch, tensors

warnings.filterwarnings("ignore")
TOLERANCE = 1e-5


def difference(got, want):
    if list(got.shape) != list(want.shape):
        return float("inf")
    if want.numel() == 0:
        return 0.0
    got, want = torch.from_numpy(numpy.asarray(got)).double(), want.detach().double()
    if torch.equal(got, want):
        return 0.0
    return float((got - want).abs().max() / want.abs().max().clamp_min(1e-30))


def compare(session, module, args, kwargs):
    with torch.no_grad():
        want = tensors(module(*args, **kwargs))
    given = tensors((args, kwargs))
    feed = {port.name: tensor.detach().numpy() for port, tensor in zip(session.get_inputs(), given)}
    got = session.run(None, feed)
    if len(got) != len(want):
        return f"{len(got)} outputs instead of {len(want)}", float("inf")
    return "", max((difference(a, b) for a, b in zip(got, want)), default=0.0)


def check(pollard, path, out):
    """(verdict, text) of one network: "ok", "refused" or "BAD"."""
    done = subprocess.run([pollard, "export", path, out, "--force"], capture_output=True, text=True)
    if done.returncode == 4 and "E0470" in done.stderr:
        return "refused", re.search(r"error\[E0470\] (.*)", done.stderr).group(1)
    if done.returncode != 0:
        return "BAD", done.stderr.strip()[:300]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(out, options, providers=["CPUExecutionProvider"])
    program = torch.export.load(path)
    args, kwargs = program.example_inputs
    module = program.module(check_guards=False)
    text, worst = compare(session, module, args, kwargs)
    if not text and has_symbolic_batch(program):
        twice = lambda tree: torch.utils._pytree.tree_map(
            lambda t: torch.cat([t, t]) if isinstance(t, torch.Tensor) and t.dim() else t, tree)
        text, second = compare(session, module, twice(args), twice(kwargs))
        text, worst = text or ", also with twice the batch", max(worst, second)
    return ("ok" if worst <= TOLERANCE else "BAD"), f"{worst:.1e} {text}"


def main():
    pollard, paths = sys.argv[1], sys.argv[2:]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        if paths[0] == "--keep":
            folder, paths = paths[1], paths[2:]
        for path in paths:
            out = os.path.join(folder, os.path.basename(path).removesuffix(".pt2") + ".onnx")
            try:
                verdict, text = check(pollard, path, out)
            except Exception as error:
                verdict, text = "BAD", repr(error)[:400]
            failures += verdict == "BAD"
            print(f"{verdict:8}", os.path.basename(path), text, flush=True)
    print(f"{len(paths) - failures} passed or refused, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
