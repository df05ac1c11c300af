# What the tests with mpirun share; sourced in the scratch directory, where `err` is written.

fail() {
  echo "$*" >&2
  tail -n 20 err >&2
  exit 1
}

# More ranks than cores, as root where tests run as root; Open MPI itself leaks.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_vader_single_copy_mechanism=none
export ASAN_OPTIONS=detect_leaks=0
ranks() {
  local count=$1
  shift
  mpirun -n "$count" "$@" 2> err
}
expect_failure() { # code, words, command...
  local code=$1 words=$2 status=0
  shift 2
  "$@" > out || status=$?
  [[ $status -eq $code ]] || fail "exit code $status instead of $code: $*"
  grep -q "$words" err || fail "no '$words' in the message of: $*"
}
no_process_left() { # pattern
  ! pgrep -f "$1" > /dev/null || fail "processes are left"
}
# A copy of a model whose last token has a NaN embedding.
make_broken_model() { # model
  /usr/bin/python3 - "$1" <<'PYTHON'
import json
import pathlib
import shutil
import sys

shutil.copytree(sys.argv[1], "broken_model", ignore=shutil.ignore_patterns("expected"))
path = pathlib.Path("broken_model/model.safetensors")
file = bytearray(path.read_bytes())
data = 8 + int.from_bytes(file[:8], "little")
tensor = json.loads(file[8:data])["model.embed_tokens.weight"]
begin, end = tensor["data_offsets"]
row = (end - begin) // tensor["shape"][0]
file[data + end - row : data + end] = b"\xff" * row  # NaN in every float format
path.write_bytes(file)
PYTHON
}
