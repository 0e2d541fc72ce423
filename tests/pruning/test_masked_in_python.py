#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prunes half of every exact group of every case with the program, and judges the files with PyTorch alone.

    test_masked_in_python.py POLLARD
"""
import glob
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    pollard = sys.argv[1]
    cases = sorted(glob.glob(os.path.join(HERE, "..", "cases", "*.pt2")))
    assert len(cases) >= 42, cases
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for case in cases:
            out = os.path.join(folder, os.path.basename(case))
            subprocess.run([pollard, "prune", case, out, "--ratio", "0.5", "--exact", "-q"], check=True)
            pairs += [case, out]
        check = os.path.join(HERE, "..", "oracle", "check_pruned.py")
        return subprocess.run([sys.executable, check, *pairs]).returncode


if __name__ == "__main__":
    sys.exit(main())
