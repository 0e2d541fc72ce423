#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everything that only a GPU can show, in one go and in a few minutes: the tests marked `gpu`, compute-sanitizer over the kernels,
# shares of the limits, and networks with LibTorch's operators against replays.
#
#     bench/cuda/check_device.sh BUILD_FOLDER
set -u
build=${1:?the build folder, build/cuda}
tests=$build/tests/gpu
status=0
folder=$(mktemp -d)

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
"$tests/test_gpu_kernels" --gtest_brief=1 || status=1
"$tests/test_gpu" --gtest_brief=1 || status=1
"$tests/cuda_roofline"
for tool in memcheck racecheck initcheck synccheck; do
  compute-sanitizer --tool $tool --error-exitcode 1 "$tests/test_gpu_kernels" --gtest_brief=1 \
    --gtest_filter='Ragged*:*RowsAlone*:*WithoutIndices*' > "$folder/log" 2>&1 || status=1
  tail -n 2 "$folder/log"
done
for network in resnet50 vit_b_16 sequencer2d_s; do
  "$build/bin/pollard" init $network "$folder/$network.pt2" > "$folder/log" || { cat "$folder/log"; status=1; }
  "$build/bin/pollard" bench "$folder/$network.pt2" --device cuda --batch 1,32 --kernels torch,pollard -o md || status=1
done
"$build/bin/pollard" bench "$folder/sequencer2d_s.pt2" --device cuda --batch 32 --dtype bf16 --kernels torch,pollard -o md ||
  status=1
rm -r "$folder"
exit $status
