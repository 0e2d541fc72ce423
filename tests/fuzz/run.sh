#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh SECONDS [TARGET...]: libFuzzer on each target (all that are built in build/fuzz) for so long, after the seeds that the
# replays of build/cpu (or POLLARD_BUILD) write. One line a target: executions, edges and features reached, findings; an
# input that is one stays in build/fuzz/findings.
set -e
cd "$(dirname "$0")/../.."
seconds=$1
shift
replays=${POLLARD_BUILD:-build/cpu}/tests
findings=build/fuzz/findings
mkdir -p $findings
[ $# -gt 0 ] || set -- $(cd build/fuzz/tests && ls -d fuzz_* | sed 's/^fuzz_//')
for target in "$@"; do
  corpus=build/fuzz/corpus/$target
  log=build/fuzz/corpus/$target.log
  mkdir -p "$corpus"
  [ -n "$(ls -A "$corpus")" ] || "$replays/test_fuzz_$target" "tests/fuzz/fuzz_$target.seeds" "$corpus"
  # LibTorch keeps what it allocates once, which is no leak of a reader. No reader needs half a gigabyte for a file this
  # small; an op may ask for any amount, which LibTorch's allocator refuses.
  limit=512
  [ "$target" != pipeline ] || limit=1000000
  ASAN_OPTIONS=allocator_may_return_null=1 "build/fuzz/tests/fuzz_$target" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=4096 -malloc_limit_mb=$limit \
    -detect_leaks=0 -print_final_stats=1 -artifact_prefix="$findings/$target-" "$corpus" > "$log" 2>&1 || true
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  reached=$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -1)
  echo "$target: ${executed:-?} executions, $reached, $(find $findings -name "$target-*" | wc -l) findings"
done
