#!/bin/bash
# The planted checkpoint is the same bytes each time, its heads do what they were built for (in its
# own float64 forward pass and in toplens), and the check that says so can fail.
set -euo pipefail
cd "$TOPLENS_SOURCE_DIR"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

text=demo/text/pride_and_prejudice.txt
make() { PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 demo/planted/make_planted.py --text "$text" "$@"; }
check() { PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 demo/planted/check_planted.py "$@"; }

make --out "$scratch/first" --check
make --out "$scratch/second"
diff -r "$scratch/first" "$scratch/second"

toplens=$TOPLENS_BUILD_DIR/toplens
spm_encode --model="$scratch/first/tokenizer.model" --output_format=id "$text" > "$scratch/ids.txt"
/usr/bin/python3 - "$scratch" <<'PYTHON'
import sys
import numpy as np

folder = sys.argv[1]
lines = open(f"{folder}/ids.txt").read().splitlines()
ids = [1] + [int(i) for line in lines for i in line.split() + ["13"]]
np.save(f"{folder}/ids.npy", np.array(ids[:300], dtype=np.int32))
PYTHON
"$toplens" capture "$scratch/first" --tokens "$scratch/ids.npy" --what attention --layers all \
  --compute f32 --out "$scratch/capture"
check --attention "$scratch/capture/attention.npy" --tokens "$scratch/ids.npy"

/usr/bin/python3 - "$scratch/capture/attention.npy" <<'PYTHON'
import sys
import numpy as np

attention = np.load(sys.argv[1])
np.save(sys.argv[1], attention[:, [1, 0, 2, 3]])
PYTHON
if check --attention "$scratch/capture/attention.npy" --tokens "$scratch/ids.npy" 2>/dev/null; then
  echo "the check passed on exchanged heads" >&2
  exit 1
fi
