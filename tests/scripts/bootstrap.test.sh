#!/bin/bash
# scripts/bootstrap against a made-up machine: commands of our own stand for dpkg-query, apt-get, sudo
# and id, and the calls they get are compared.
set -euo pipefail
bootstrap=$TOPLENS_SOURCE_DIR/scripts/bootstrap
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
bin=$scratch/bin
mkdir "$bin"
for command in bash dirname env; do ln -s "$(command -v $command)" "$bin/$command"; done

command_of_ours() { printf '#!/bin/bash\n%s\n' "$2" > "$bin/$1" && chmod +x "$bin/$1"; }
# As dpkg-query does: nothing and a failure for a package it never heard of, `config-files` for one
# that was removed.
command_of_ours dpkg-query 'name=${!#}
case " $ABSENT " in *" $name "*) exit 1 ;; esac
case " $REMOVED " in *" $name "*) printf config-files ;; *) printf installed ;; esac'
command_of_ours apt-get 'echo "$USER_ID apt-get $* $DEBIAN_FRONTEND" >> "$CALLS"'
command_of_ours id 'echo "$USER_ID"'

export CALLS=$scratch/calls ABSENT='' REMOVED='' USER_ID=0 DEBIAN_FRONTEND=''
run() { : > "$CALLS"; status=0; PATH=$bin "$bootstrap" "$@" > "$scratch/out" 2>&1 || status=$?; }
fail() {
  echo "$*; exit code $status, calls:" >&2
  cat "$CALLS" "$scratch/out" >&2
  exit 1
}
expect_calls() { [[ $(cat "$CALLS") == "$1" ]] || fail "expected: $1"; }

run test
[[ $status -eq 0 && ! -s $CALLS && ! -s $scratch/out ]] || fail "all there: silence expected"

export ABSENT="cmake clang" REMOVED=libfmt-dev
run build
[[ $status -eq 0 ]] || fail "build list"
expect_calls "0 apt-get update -q 
0 apt-get install -q -y --no-install-recommends cmake libfmt-dev noninteractive"
run test
expect_calls "0 apt-get update -q 
0 apt-get install -q -y --no-install-recommends cmake libfmt-dev clang noninteractive"

export USER_ID=1000
run build
[[ $status -eq 1 && ! -s $CALLS ]] || fail "neither root nor sudo: an error expected"
grep -q 'cmake libfmt-dev' "$scratch/out" || fail "the error names the packages"
command_of_ours sudo 'USER_ID=0 exec "$@"'
run build
[[ $status -eq 0 ]] || fail "with sudo"
expect_calls "0 apt-get update -q 
0 apt-get install -q -y --no-install-recommends cmake libfmt-dev noninteractive"

command_of_ours apt-get 'exit 100'
run build
[[ $status -ne 0 ]] || fail "apt-get fails: so does bootstrap"
run everything
[[ $status -eq 2 ]] || fail "unknown list: usage error expected"

# Every package of the list is known by name, once.
names=$(grep -vE '^(#|\[|$)' "$TOPLENS_SOURCE_DIR/scripts/packages.txt" | cut -d' ' -f1)
[[ -z $(sort <<< "$names" | uniq -d) ]] || fail "listed twice: $(sort <<< "$names" | uniq -d)"
