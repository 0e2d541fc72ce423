#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Initialises every small variant of every built-in family, prunes it to half its multiply-accumulates with the
program, and judges the exported files with PyTorch alone, at two batch sizes.

    test_families_in_python.py POLLARD [FAMILY ...]
"""
import json
import os
import subprocess
import sys
import tempfile

import torch

HERE = os.path.dirname(os.path.abspath(__file__))


def fill_zeros(path):
    """Some classifiers start as zeros, which would compare zeros with zeros: gives them content."""
    program = torch.export.load(path)
    zeros = [t for t in program.state_dict.values() if t.dim() > 1 and not t.any()]
    with torch.no_grad():
        for tensor in zeros:
            tensor.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    if zeros:
        torch.export.save(program, path)


def main():
    pollard, only = sys.argv[1], sys.argv[2:]
    listed = subprocess.run([pollard, "models", "--json"], check=True, capture_output=True, text=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for family in json.loads(listed)["families"]:
            if only and family["name"] not in only:
                continue
            for number, spec in enumerate(family["small_specs"]):
                stem = os.path.join(folder, f"{family['name']}.{number}")
                with open(stem + ".json", "w") as file:
                    json.dump(spec, file)
                subprocess.run([pollard, "init", family["name"], stem + ".pt2", "--spec", stem + ".json", "-q"], check=True)
                fill_zeros(stem + ".pt2")
                pruned = subprocess.run([pollard, "prune", stem + ".pt2", stem + ".small.pt2", "--speedup", "2x", "--exact", "-q"],
                                        capture_output=True, text=True)
                if pruned.returncode == 4:  # exact groups alone may not suffice: then what half of them gives
                    pruned = subprocess.run([pollard, "prune", stem + ".pt2", stem + ".small.pt2", "--ratio", "0.5", "--exact", "-q"],
                                            capture_output=True, text=True)
                assert pruned.returncode == 0, (stem, pruned.stderr)
                pairs += [stem + ".pt2", stem + ".small.pt2"]
        check = os.path.join(HERE, "..", "oracle", "check_pruned.py")
        return subprocess.run([sys.executable, check, "--dynamic", *pairs]).returncode


if __name__ == "__main__":
    sys.exit(main())
