#!/bin/bash
# `mpirun -n R toplens analyze` on one machine: the results are those of one process, byte by byte; a
# killed rank, a failing rank and different ranks end the run, which goes on with --resume.
set -euo pipefail

toplens=$TOPLENS_BUILD_DIR/toplens
model=$TOPLENS_SOURCE_DIR/tests/golden/tiny-llama3-gqa
if ! command -v mpirun >/dev/null; then
  echo "SKIPPED: no mpirun (Debian packages openmpi-bin and libopenmpi-dev)"
  exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

. "$TOPLENS_SOURCE_DIR/tests/distributed/ranks.sh"
expect_same_results() { # run, run
  local file
  for file in heads.csv geometry.nc heads.nc profiles.nc theory.json regimes.json; do
    cmp "$1/$file" "$2/$file" || fail "$2/$file differs from $1/$file"
  done
}

# tokens.npy [48, 40], long.npy [160, 40], two.npy with 2 documents, and broken.npy, whose document 40
# alone has the broken model's last token.
/usr/bin/python3 - <<'PYTHON'
import numpy

random = numpy.random.default_rng(2027)
numpy.save("tokens.npy", random.integers(0, 319, (48, 40), dtype=numpy.int32))
numpy.save("long.npy", random.integers(0, 319, (160, 40), dtype=numpy.int32))
numpy.save("two.npy", random.integers(0, 319, (2, 40), dtype=numpy.int32))
broken = random.integers(0, 319, (48, 40), dtype=numpy.int32)
broken[40, 7] = 319
numpy.save("broken.npy", broken)
PYTHON
make_broken_model "$model"
common=(--threads 1 --set-sizes 1,4,16 --random-repeats 2 --measures on)

if ! ranks 2 "$toplens" analyze "$model" --tokens two.npy "${common[@]}" --out probe > out; then
  grep -q "built without MPI" err || fail "two documents on two ranks"
  grep -q "libopenmpi-dev" err || fail "the message names no package"
  [[ ! -e probe ]] || fail "a run directory is there"
  echo "SKIPPED: built without MPI"
  exit 77
fi

echo "== equal to one process"
"$toplens" analyze "$model" --tokens tokens.npy --documents 48 "${common[@]}" --out one > one.txt 2> err
for count in 2 4; do
  ranks $count "$toplens" analyze "$model" --tokens tokens.npy --documents 48 "${common[@]}" \
    --out "ranks$count" > "ranks$count.txt" || fail "$count ranks"
  expect_same_results one "ranks$count"
  [[ $(grep -c tokens/s err) -le 3 ]] || fail "more than one rank tells of its progress"
  "$toplens" verify "ranks$count" --documents 3 > verified.txt 2> err || fail "verify"
  grep -q "all bit for bit as recorded" verified.txt || fail "verify compared no bits"
done
for part in one/parts/*; do  # with 2 ranks, parts are of 8 documents too
  cmp "$part" "ranks2/parts/${part##*/}" || fail "another part"
done
/usr/bin/python3 - <<'PYTHON'
import json

for count, run in ((1, "one"), (2, "ranks2"), (4, "ranks4")):
    manifest = json.load(open(f"{run}/run.json"))
    ranks = manifest["ranks"]
    assert len(ranks) == count, run
    assert sum(rank["documents"] for rank in ranks) == 48, ranks
    assert all(rank["host"] and rank["threads"] == 1 for rank in ranks), ranks
    assert (manifest["gathered"]["bytes"] > 0) == any(rank["documents"] for rank in ranks[1:])
PYTHON
"$toplens" compare one ranks4 > out 2> err || fail "compare"

echo "== fewer documents than ranks"
ranks 4 "$toplens" analyze "$model" --tokens two.npy "${common[@]}" --out few > out || fail "few"
grep -q "2 documents in 2 parts keep 2 of 4 ranks busy" err || fail "no note"
"$toplens" analyze "$model" --tokens two.npy "${common[@]}" --out few_one > out 2> err
expect_same_results few_one few

echo "== a rank is killed"
"$toplens" analyze "$model" --tokens long.npy --documents 160 "${common[@]}" --out whole > out 2> err
ranks 2 "$toplens" analyze "$model" --tokens long.npy --documents 160 "${common[@]}" \
  --out "$scratch/killed" > out &
job=$!
shopt -s nullglob
parts=()
while [[ ${#parts[@]} -lt 2 ]] && kill -0 $job 2> /dev/null; do
  parts=(killed/parts/part-*.nc)
  sleep 0.01
done
# Rank 1 is the second child of mpirun, which this shell started through the function.
victim=$(pgrep -n -f "toplens analyze .*$scratch/killed")
kill -KILL "$victim" || fail "the run was over before it could be killed"
status=0
wait $job || status=$?
[[ $status -ne 0 ]] || fail "a killed rank and no failure"
no_process_left "toplens analyze .*$scratch"
[[ ! -e killed/heads.csv ]] || fail "results of a killed run"
kept=(killed/parts/part-*.nc)
[[ ${#kept[@]} -ge 2 && ${#kept[@]} -lt 20 ]] || fail "${#kept[@]} parts are kept"
cp -r killed killed_alone
ranks 4 "$toplens" analyze "$model" --tokens long.npy --documents 160 "${common[@]}" --out killed \
  --resume > out || fail "resume with 4 ranks"
expect_same_results whole killed
"$toplens" analyze "$model" --tokens long.npy --documents 160 "${common[@]}" --out killed_alone \
  --resume > out 2> err || fail "resume with one process"
expect_same_results whole killed_alone

echo "== a rank fails"
# Before the work: only rank 1 has the wrong model.
expect_failure 1 "rank 1 on .*absent" ranks 1 "$toplens" analyze "$model" --tokens tokens.npy \
  "${common[@]}" --out failed : -n 1 "$toplens" analyze absent --tokens tokens.npy "${common[@]}" \
  --out failed
[[ ! -e failed ]] || fail "a run directory without a run"
# During the work, on whichever rank has the document.
expect_failure 1 "not finite\|NaN\|nan" ranks 4 "$toplens" analyze broken_model --tokens broken.npy \
  --documents 48 "${common[@]}" --out "$scratch/broken"
no_process_left "toplens analyze .*$scratch"
[[ ! -e broken/heads.csv ]] || fail "results of a failed run"
kept=(broken/parts/part-*.nc)
[[ ${#kept[@]} -ge 1 ]] || fail "finished parts are gone"
# What rank 0 refuses is said once.
expect_failure 1 "this very run, complete" ranks 2 "$toplens" analyze "$model" --tokens tokens.npy \
  --documents 48 "${common[@]}" --out one
[[ $(grep -c "^toplens:" err) -eq 1 ]] || fail "more than one message"

echo "== ranks that would not run the same"
expect_failure 1 "rank 1 on .*protocol.seed (3 there, 2027 here)" ranks 1 "$toplens" analyze "$model" \
  --tokens tokens.npy "${common[@]}" --out mixed : -n 1 "$toplens" analyze "$model" \
  --tokens tokens.npy "${common[@]}" --out mixed --seed 3
[[ ! -e mixed ]] || fail "a run directory without a run"

echo "== the command line"
expect_failure 2 "only analyze, .*intervene.* share" ranks 2 "$toplens" perplexity "$model" \
  --tokens tokens.npy
expect_failure 2 "unknown option '--tokkens'" ranks 2 "$toplens" analyze "$model" --tokkens x
[[ $(grep -c "^toplens:" err) -eq 1 ]] || fail "more than one message"
ranks 2 "$toplens" analyze --help > out || fail "help"
[[ $(grep -c "^ *--resume" out) -eq 1 ]] || fail "help is printed by every rank"
"$toplens" analyze "$model" --tokens two.npy "${common[@]}" --mpi --out lone > out 2> err ||
  fail "--mpi without a launcher"
