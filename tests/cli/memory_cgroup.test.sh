#!/bin/bash
# A checkpoint of 300 MB is analyzed inside a memory cgroup of 128 MB: weights come from the mapped
# files layer by layer, not from memory. Skipped where no cgroup can be made.
set -euo pipefail

toplens=$TOPLENS_BUILD_DIR/toplens
limit=$((128 * 1024 * 1024))
scratch=$(mktemp -d)
group=
clean() {
  rm -rf "$scratch"
  [[ -z $group ]] || rmdir "$group" 2>/dev/null || true
}
trap clean EXIT

skip() {
  echo "SKIPPED: $1"
  exit 77
}

# A sanitizer's shadow memory is no part of what is tested.
grep -q '^TOPLENS_SANITIZE:STRING=$' "$TOPLENS_BUILD_DIR/CMakeCache.txt" || skip "sanitizer build"

for candidate in /sys/fs/cgroup/memory /sys/fs/cgroup; do
  [[ -e $candidate/memory.limit_in_bytes || -e $candidate/cgroup.controllers ]] || continue
  if mkdir "$candidate/toplens-test-$$" 2>/dev/null; then
    group=$candidate/toplens-test-$$
    break
  fi
done
[[ -n $group ]] || skip "no memory cgroup can be made here"
if [[ -e $group/memory.limit_in_bytes ]]; then
  limit_file=$group/memory.limit_in_bytes
elif [[ -e $group/memory.max ]]; then
  limit_file=$group/memory.max
else
  skip "cgroups here have no memory controller"
fi

"$toplens" generate llama-2-7b --layers 11 --hidden-size 1024 --intermediate-size 2816 \
  --query-heads 16 --kv-heads 16 --vocab-size 8192 --token-documents 4 --context-length 128 \
  --out "$scratch/model" >/dev/null
size=$(stat -c %s "$scratch/model/model.safetensors")
if ((size < 300000000)); then
  echo "the checkpoint has $size bytes, less than the test is about"
  exit 1
fi

run() {
  "$toplens" analyze "$scratch/model" --tokens "$scratch/model/tokens.npy" --memory 48MiB \
    --random-repeats 2 --out "$1" --json
}
run "$scratch/free" > "$scratch/free.json"

# Pages already in the cache belong to whoever read them first: drop them.
/usr/bin/python3 - "$scratch/model/model.safetensors" <<'PYTHON'
import os
import sys

descriptor = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(descriptor)
os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
PYTHON
echo "$limit" > "$limit_file"
(
  echo "$BASHPID" > "$group/cgroup.procs"
  run "$scratch/limited" > "$scratch/limited.json"
)
cmp "$scratch/free/heads.csv" "$scratch/limited/heads.csv"
peak=$(cat "$group/memory.max_usage_in_bytes" "$group/memory.peak" 2>/dev/null | head -n 1 || true)
echo "checkpoint of $size bytes, cgroup limit $limit, peak ${peak:-not told}: same results"
