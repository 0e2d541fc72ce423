#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/fairness_lm.sh POLLARD FOLDER [PROMPTS [AXES]]: the same as fairness_minilm.sh of a small language model that
# bench/train_small_lm.py trained into FOLDER. Heads are chosen and judged on different prompts and chapters. The axis
# "wealth" is scored but not chosen by: its bias is nearly nothing, and relative to that any change is large.
set -eu
pollard=$1 model=$2/model.safetensors prompts=${3:-bench/data/kjv_prompts.json} axes=${4:-gender,nation}
out=build/fairness_lm
mkdir -p "$out"
head -c 12000 "$2/score.txt" > "$out/score.txt"
head -c 6000 "$2/judge.txt" > "$out/judge.txt"
python3 bench/fairness_compare.py split "$prompts" "$out" 2
"$pollard" fairness score "$model" --prompts "$out/score.json" --text "$out/score.txt" --window 128 --stride 64 \
  --baselines --force -o "$out/scores.json" --csv "$out/scores.csv" > /dev/null
judge="--prompts $out/judge.json --text $out/judge.txt --window 128 --stride 64 --axis $axes --force --scores $out/scores.json"
"$pollard" fairness front "$model" $judge --csv "$out/front.csv" --svg "$out/front.svg"
"$pollard" fairness prune "$model" "$out/fair.safetensors" $judge --alpha 0.2 --gamma 0.3 --csv "$out/prune.csv"
"$pollard" generate "$out/fair.safetensors" --tokenizer "$2" --prompt "And the king said" --max-tokens 20
python3 bench/fairness_compare.py table "$out/front.csv"
