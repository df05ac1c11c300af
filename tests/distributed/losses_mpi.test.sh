#!/bin/bash
# `mpirun -n R toplens intervene` and `budget` on one machine: the results are those of one process, byte
# by byte; a killed rank, a failing rank and another model end the run, which goes on with --resume.
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

# tokens.npy [12, 48], long.npy [16, 128], and broken.npy, one document of which has the broken model's
# last token.
/usr/bin/python3 - <<'PYTHON'
import numpy

random = numpy.random.default_rng(2027)
numpy.save("tokens.npy", random.integers(0, 319, (12, 48), dtype=numpy.int32))
numpy.save("long.npy", random.integers(0, 319, (16, 128), dtype=numpy.int32))
broken = random.integers(0, 319, (12, 48), dtype=numpy.int32)
broken[11, 7] = 319
numpy.save("broken.npy", broken)
PYTHON
make_broken_model "$model"
common=(--tokens tokens.npy --documents 12 --threads 1)
treated=(--ranking attention,random --rule delete,renormalize)

if ! ranks 2 "$toplens" intervene "$model" "${common[@]}" "${treated[@]}" --set-sizes 4 > out; then
  grep -q "built without MPI" err || fail "two ranks"
  echo "SKIPPED: built without MPI"
  exit 77
fi

echo "== equal to one process"
search=("${common[@]}" "${treated[@]}" --tolerance 0.01,0.05)
scan=("${common[@]}" --ranking contribution --rule delete --scan heads --set-sizes 2,8)
matched=("${common[@]}" --ranking positional --rule renormalize --set-sizes 4 --context-lengths 16,48
  --score-tail 8)
for kind in search scan matched; do
  declare -n options=$kind
  "$toplens" intervene "$model" "${options[@]}" --out "$kind-1" > "$kind-1.txt" 2> err || fail "$kind"
  for count in 2 4; do
    ranks $count "$toplens" intervene "$model" "${options[@]}" --out "$kind-$count" \
      > "$kind-$count.txt" || fail "$kind with $count ranks"
    for file in "$kind"-1/*.csv "$kind"-1/*.nc; do
      cmp "$file" "$kind-$count/${file##*/}" || fail "another ${file##*/}"
    done
    diff <(sed "s/$kind-1/RUN/g" "$kind-1.txt") <(sed "s/$kind-$count/RUN/g" "$kind-$count.txt") ||
      fail "another report"
  done
done
budget=(--tokens tokens.npy --documents 6 --threads 1 --ranking attention --rule delete --tolerance 0.05
  --set-sizes 4,16)
"$toplens" budget "$model" "${budget[@]}" --out budget-1 > out 2> err || fail "budget"
ranks 3 "$toplens" budget "$model" "${budget[@]}" --out budget-3 > out || fail "budget with 3 ranks"
for file in budget.json interventions.csv interventions.nc; do
  cmp "budget-1/$file" "budget-3/$file" || fail "another $file"
done
"$toplens" budget "$model" "${common[@]}" --verify budget-1/budget.json > verify-1.txt 2> err
ranks 2 "$toplens" budget "$model" "${common[@]}" --verify budget-1/budget.json > verify-2.txt ||
  fail "budget --verify"
cmp verify-1.txt verify-2.txt

echo "== equal where oneDNN's arithmetic depends on the shape of a product"
# Shares of fewer rows than a full block, of a run of more. Without AVX-512 oneDNN sums in another order
# for other numbers of rows.
long=(--tokens long.npy --documents 16 --threads 1 --compute f32 --ranking attention --rule delete
  --set-sizes 8 --json)
export ONEDNN_MAX_CPU_ISA=AVX2
"$toplens" intervene "$model" "${long[@]}" > long-1.json 2> err
ranks 6 "$toplens" intervene "$model" "${long[@]}" > long-6.json || fail "6 ranks with AVX2"
cmp long-1.json long-6.json || fail "another loss with AVX2"
unset ONEDNN_MAX_CPU_ISA

echo "== fewer lanes than ranks"
one=(--tokens tokens.npy --documents 1 --threads 1 --ranking attention --rule delete --set-sizes 4)
"$toplens" intervene "$model" "${one[@]}" --json > one-1.json 2> err
ranks 4 "$toplens" intervene "$model" "${one[@]}" --json > one-4.json || fail "one document on 4 ranks"
cmp one-1.json one-4.json

echo "== a rank is killed"
many=("${common[@]}" --ranking attention,random --rule delete,renormalize
  --scan heads --set-sizes 1,2,3,4,5,6)
"$toplens" intervene "$model" "${many[@]}" --out many-1 > out 2> err
ranks 2 "$toplens" intervene "$model" "${many[@]}" --out "$scratch/killed" > out &
job=$!
while [[ ! -s killed/interventions.nc ]] && kill -0 $job 2> /dev/null; do sleep 0.005; done
victim=$(pgrep -n -f "toplens intervene .*$scratch/killed")
kill -KILL "$victim" || fail "the run was over before it could be killed"
status=0
wait $job || status=$?
[[ $status -ne 0 ]] || fail "a killed rank and no failure"
no_process_left "toplens intervene .*$scratch/killed"
[[ ! -e killed/interventions.csv ]] || fail "nothing was left to do"
cp -r killed killed_alone
ranks 4 "$toplens" intervene "$model" "${many[@]}" --out killed --resume > out || fail "resume, 4 ranks"
cmp many-1/interventions.csv killed/interventions.csv || fail "another result after resuming"
"$toplens" intervene "$model" "${many[@]}" --out killed_alone --resume > out 2> err || fail "resume"
cmp many-1/interventions.csv killed_alone/interventions.csv || fail "another result after resuming"

echo "== a rank fails"
expect_failure 1 "not finite\|NaN\|nan" ranks 4 "$toplens" intervene broken_model \
  --tokens broken.npy --documents 12 --threads 1 "${treated[@]}" --set-sizes 4 --out "$scratch/broken"
no_process_left "toplens intervene .*$scratch/broken"
expect_failure 1 "rank 1 on .*absent" ranks 1 "$toplens" intervene "$model" "${one[@]}" : \
  -n 1 "$toplens" intervene absent "${one[@]}"
expect_failure 1 "rank 1 on .*runs something else" ranks 1 "$toplens" intervene "$model" "${one[@]}" : \
  -n 1 "$toplens" intervene broken_model "${one[@]}"
expect_failure 2 "rule 'drop'" ranks 2 "$toplens" intervene "$model" "${one[@]}" --rule drop
