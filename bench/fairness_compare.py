#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What bench/fairness_minilm.sh and bench/fairness_lm.sh share.

    fairness_compare.py split PROMPTS OUT       every other prompt to OUT/score.json, the rest to OUT/judge.json
    fairness_compare.py table FRONT_CSV         bias and performance of every method by alpha, FASP by gamma
"""
import csv
import json
import statistics
import sys


def split(prompts, out, judged="all"):
    """The templates alternate in a prompt file, so that heads are judged by other templates than they are chosen by; by the
    first `judged` continuations of each kind, which saves time."""
    all_prompts = json.load(open(prompts))
    for name, first in (("score", 0), ("judge", 1)):
        axes = {axis: {group: texts[first::2] or texts for group, texts in groups.items()}
                for axis, groups in all_prompts["axes"].items()}
        most = None if name == "score" or judged == "all" else int(judged)
        attributes = {kind: texts[:most] for kind, texts in all_prompts["attributes"].items()}
        json.dump({"attributes": attributes, "axes": axes}, open(f"{out}/{name}.json", "w"))


def key_of(row):
    """Draws of random are one method; gammas of FASP several."""
    return "fasp " + row["setting"] if row["method"] == "fasp" else row["method"]


def table(path):
    rows = list(csv.DictReader(open(path)))
    whole, rest = rows[0], [row for row in rows if row["method"] != "none"]
    bias, performance = float(whole["bias"]), float(whole["performance"])
    print(f"whole: bias {bias:.4f}, performance {performance:.4f}\n")
    names = sorted({key_of(row) for row in rest}, key=lambda n: (n != "random", n))
    alphas = sorted({row["alpha"] for row in rest if int(row["removed"])})
    print("| method | " + " | ".join(f"alpha {alpha}" for alpha in alphas) + " |\n|---|" + "---|" * len(alphas))
    for name in names:
        cells = []
        for alpha in alphas:
            some = [row for row in rest if row["alpha"] == alpha and key_of(row) == name]
            b = [float(row["bias"]) / bias for row in some]
            p = [float(row["performance"]) for row in some]
            spread = f" ±{statistics.stdev(b):.2f}" if len(b) > 1 else ""
            cells.append(f"{statistics.mean(b):.2f}{spread} ({statistics.mean(p):.4g})" if some else "")
        print(f"| {name} | " + " | ".join(cells) + " |")
    wins(rest, alphas, bias)


def wins(rest, alphas, bias):
    """At how many alphas each gamma's FASP is less biased, and no worse, than each baseline."""
    print("\nAlphas at which FASP has less bias than the mean of the baseline / also performs no worse:")
    gammas = sorted({key_of(row) for row in rest if row["method"] == "fasp"})
    for baseline in sorted({row["method"] for row in rest} - {"fasp"}):
        cells = []
        for gamma in gammas:
            lower = both = of = 0
            for alpha in alphas:
                pick = lambda name: [row for row in rest if row["alpha"] == alpha and key_of(row) == name]
                ours, theirs = pick(gamma), pick(baseline)
                if not ours or not theirs:
                    continue
                mean = lambda rows, column: statistics.mean(float(row[column]) for row in rows)
                of += 1
                lower += mean(ours, "bias") < mean(theirs, "bias")
                both += (mean(ours, "bias") < mean(theirs, "bias")
                         and mean(ours, "performance") <= mean(theirs, "performance"))
            cells.append(f"{gamma[5:]}: {lower}/{both} of {of}")
        print(f"  {baseline:12s} " + "   ".join(cells))


if __name__ == "__main__":
    {"split": split, "table": table}[sys.argv[1]](*sys.argv[2:])
