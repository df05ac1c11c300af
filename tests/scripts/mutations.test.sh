#!/bin/bash
# The list of deliberate faults matches the sources, and a list that does not is noticed with the
# fault's name.
set -euo pipefail
cd "$TOPLENS_SOURCE_DIR"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

scripts/mutate --list > "$scratch/list"
count=$(grep -c ' (src/.*:[0-9]*)$' "$scratch/list")
[[ $count -ge 30 ]] || { echo "$count faults, expected at least 30" >&2; exit 1; }
grep -q "^$count faults, each matches the sources once$" "$scratch/list"
scripts/mutate --list --only clear-includes-ties | grep -q '^1 faults'

# A copy of what --list reads, in which one text changed and another occurs twice.
mkdir -p "$scratch/tests"
cp -r scripts src "$scratch"
cp -r tests/mutations "$scratch/tests"
for folder in $(sed -n 's/^tests = //p' tests/mutations/*.toml | grep -o '"[a-z_]*' | tr -d '"' | sort -u); do
  mkdir -p "$scratch/tests/$folder"
  touch "$scratch/tests/$folder/any_test.cc"
done
expect_error() { # words
  local status=0
  "$scratch/scripts/mutate" --list > "$scratch/out" 2> "$scratch/err" || status=$?
  [[ $status -eq 2 ]] && grep -q "$1" "$scratch/err" && return
  echo "exit code $status, no '$1' in:" >&2
  cat "$scratch/err" >&2
  exit 1
}
"$scratch/scripts/mutate" --list > "$scratch/again"
diff "$scratch/list" "$scratch/again"
echo 'bound.precision = n / (n + inversions);' >> "$scratch/src/theory/distribution_free.cc"
expect_error 'half-the-inversions: its old text occurs 2 times in src/theory/distribution_free.cc'
cp src/theory/distribution_free.cc "$scratch/src/theory"
sed -i 's/score_margin/margin_of_scores/' "$scratch/src/geometry/head_geometry.cc"
expect_error 'margin-of-the-wrong-sign: its old text occurs 0 times in src/geometry/head_geometry.cc'
cp src/geometry/head_geometry.cc "$scratch/src/geometry"
rm -r "$scratch/tests/selection"
expect_error 'there are no tests in tests/selection'
