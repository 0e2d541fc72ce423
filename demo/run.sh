#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo/run.sh POLLARD MINILM_PROGRAM MODEL_FOLDER: prunes a real trained sentence encoder and measures what it costs.
set -eu
pollard=$1 minilm=$2 folder=$3/model
out=build/demo
mkdir -p "$out"
step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
run() { step "pollard" "$@"; "$pollard" "$@"; }

echo "MiniLM-L6-v2, a sentence encoder (6 layers, 12 heads, 22.7 M parameters), as published on PyPI."
run inspect "$folder/model.safetensors"
echo
echo "A quarter of the heads and of the feed-forward units leave; the embedding width stays."
run prune "$folder/model.safetensors" "$out/minilm-small.pt2" --heads 0.25 --head-dim 0 --ratio 0.25 --exact --force
run export "$out/minilm-small.pt2" "$out/minilm-small.safetensors" --force

python3 demo/sentences.py "$out"
"$minilm" tokens "$folder" "$out/calibration.txt" "$out/calibration.safetensors"
echo
echo "The same, chosen alike, with what is left repaired from 384 unlabelled sentences."
run prune "$folder/model.safetensors" "$out/minilm-repaired.pt2" --heads 0.25 --head-dim 0 --ratio 0.25 --exact \
  --calib "$out/calibration.safetensors" --force

run bench "$folder/model.safetensors" "$out/minilm-small.pt2" "$out/minilm-repaired.pt2" --batch 8 --repeat 20
echo
"$minilm" fidelity "$folder" "$out/unseen.txt" "$folder/model.safetensors" "$out/minilm-small.pt2" "$out/minilm-repaired.pt2"
echo
echo "next: build/*/bin/pollard prune YOUR.pt2 small.pt2 --speedup 2x"
