#!/bin/bash
# The installed library is enough for a program outside the tree: examples/observer is configured,
# built and run against it alone, and the installed binary runs.
set -euo pipefail
if grep -q '^TOPLENS_SANITIZE:[A-Z]*=.' "$TOPLENS_BUILD_DIR/CMakeCache.txt"; then
  echo "SKIPPED: only the release build is installed"
  exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$TOPLENS_BUILD_DIR" --prefix "$scratch/prefix" > "$scratch/install.log"
"$scratch/prefix/bin/toplens" --help > "$scratch/help.txt"
grep -q analyze "$scratch/help.txt"

# From a copy, so that no header of the source tree is found by accident.
cp -r "$TOPLENS_SOURCE_DIR/examples/observer" "$scratch/observer"
cmake -G Ninja -S "$scratch/observer" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$scratch/prefix" \
  -DCMAKE_COMPILE_WARNING_AS_ERROR=ON
cmake --build "$scratch/build"
if grep -q "$TOPLENS_SOURCE_DIR" "$scratch/build/build.ninja" "$scratch"/prefix/lib*/cmake/toplens/* \
  "$scratch"/prefix/lib*/*/cmake/toplens/* 2>/dev/null; then
  echo "the installed package or the example's build refers to the source tree" >&2
  exit 1
fi

PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$TOPLENS_SOURCE_DIR/demo/planted/make_planted.py" \
  --text "$TOPLENS_SOURCE_DIR/demo/text/pride_and_prejudice.txt" --out "$scratch/planted"
"$scratch/build/observer" "$scratch/planted" > "$scratch/out.txt"
cat "$scratch/out.txt"

# The example prints "layer head sink" lines, the mean attention on the first token; the planted
# checkpoint's heads.json says where that must be nearly all.
/usr/bin/python3 - "$scratch/out.txt" "$scratch/planted/heads.json" <<'PYTHON'
import json
import sys

rows = [line.split() for line in open(sys.argv[1]) if not line.startswith("#")]
sink = {(int(layer), int(head)): float(share) for layer, head, share in rows}
heads = json.load(open(sys.argv[2]))
assert len(sink) == len(heads), f"{len(sink)} lines for {len(heads)} heads"
for head in heads:
    share = sink[head["layer"], head["head"]]
    if head["kind"] == "sink":
        assert share > 0.9, f"{head}: attention on the first token is {share}"
    elif head["kind"] in ("previous", "uniform"):
        assert share < 0.5, f"{head}: attention on the first token is {share}"
PYTHON
