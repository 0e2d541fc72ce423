#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes English sentences to OUT/calibration.txt (384) and OUT/unseen.txt (400), one a line.

They are the docstrings of Python's own library: real prose that is on every machine. The two files share no sentence.
"""
import glob
import os
import random
import re
import sys


def sentences():
    found = set()
    for path in sorted(glob.glob(os.path.join(os.path.dirname(os.__file__), "*.py")))[:400]:
        with open(path, errors="ignore") as file:
            for doc in re.findall(r'"""(.*?)"""', file.read(), re.S):
                for sentence in re.split(r"(?<=[.!?])\s", doc):
                    sentence = re.sub(r"\s+", " ", sentence).strip()
                    if 30 < len(sentence) < 200:
                        found.add(sentence)
    return sorted(found)


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    lines = sentences()
    random.seed(0)
    random.shuffle(lines)
    for name, part in (("calibration", lines[:384]), ("unseen", lines[1024:1424])):
        with open(os.path.join(out, name + ".txt"), "w") as file:
            file.write("\n".join(part) + "\n")


if __name__ == "__main__":
    main()
