#!/usr/bin/env bash
# Runs one libFuzzer program: tests/fuzz/run.sh TARGET [SECONDS] [libFuzzer options]. The corpus grows in
# build/fuzz/corpus/TARGET; an input that fails is left in build/fuzz/found/. Keep it as
# tests/fuzz/corpus/TARGET/found-WHAT once it is mended.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=$1
seconds=${2:-600}
shift $(($# < 2 ? $# : 2))
corpus=build/fuzz/corpus/$target
seeds=(tests/fuzz/corpus/"$target")
dictionary=build/fuzz/$target.dict
mkdir -p "$corpus" build/fuzz/found
cp tests/fuzz/dictionaries/"$target".dict "$dictionary"
if [[ $target == job ]]; then
  seeds+=(assets/jobs)
  python3 tests/fuzz/schema_words.py >> "$dictionary"
fi
echo "fuzzing $target for $seconds s"
# LibTorch keeps its registries until the process ends, which a leak checker would report.
ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 OMP_NUM_THREADS=1 \
  build/fuzz/tests/fuzz_"$target" "$corpus" "${seeds[@]}" -dict="$dictionary" \
  -artifact_prefix=build/fuzz/found/"$target"- -max_total_time="$seconds" -max_len=8192 -timeout=10 \
  -rss_limit_mb=2048 -print_final_stats=1 "$@"
