#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a sentence encoder keeps without training: cosine to the dense embeddings on sentences not used for calibration.

    minilm_table.py POLLARD MINILM MODEL_FOLDER OUT_FOLDER [--samples 384] [--row TEXT]

MINILM is the demo's program, MODEL_FOLDER holds all-MiniLM-L6-v2 (model.safetensors and its vocabulary). Sentences are
those of demo/sentences.py: 384 to calibrate, 400 unseen. Prints a markdown table. One thread.
"""
import argparse
import os
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

FEED_FORWARD = ["--only", "*intermediate.dense.weight"]
HEADS = ["--only", "*attention.output.dense.weight", "--head-dim", "0"]
ROWS = [(f"{part} -{ratio}", where + ["--ratio", str(ratio / 100)])
        for part, where in (("feed-forward", FEED_FORWARD), ("heads", HEADS)) for ratio in (25, 50)]
METHODS = [("magnitude", ["--repair", "none"]),
           ("magnitude, repaired", []),
           ("least-squares:metric=local, repaired", ["--criterion", "least-squares:metric=local"]),
           ("least-squares, repaired", ["--criterion", "least-squares"]),
           ("least-squares, predicted, repaired", ["--criterion", "least-squares", "--scope", "predicted"]),
           ("least-squares, measured, repaired", ["--criterion", "least-squares", "--scope", "measured"])]


def cosine(a, small):
    out = subprocess.run([a.minilm, "fidelity", a.model, os.path.join(a.out, "unseen.txt"),
                          os.path.join(a.model, "model.safetensors"), small], capture_output=True, text=True, check=True)
    return out.stdout.strip().splitlines()[-1].split()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("pollard", "minilm", "model", "out"):
        parser.add_argument(name)
    parser.add_argument("--samples", default="384")
    parser.add_argument("--row", default="")
    parser.add_argument("--method", default="")
    a = parser.parse_args()
    subprocess.run([sys.executable, os.path.join(ROOT, "demo/sentences.py"), a.out], check=True)
    print("| removed | method | cosine | seconds |\n|---|---|---|---|", flush=True)
    for row, what in ROWS:
        for method, how in METHODS:
            if a.row not in row or a.method not in method:
                continue
            small, start = os.path.join(a.out, "small.pt2"), time.time()
            done = subprocess.run([a.pollard, "prune", os.path.join(a.model, "model.safetensors"), small, "--calib",
                                   os.path.join(a.out, "calibration.txt"), "--tokenizer", a.model, "--samples", a.samples,
                                   "--exact", "--force", "--no-verify", "--threads", "1"] + what + how,
                                  capture_output=True, text=True)
            seconds = time.time() - start
            result = cosine(a, small) if done.returncode == 0 else done.stderr.strip().splitlines()[0]
            print(f"| {row} % | {method} | {result} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
