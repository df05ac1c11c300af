#!/bin/bash
# The demo's training recipe, run for two minutes (or DEMO_TRAIN_SECONDS). Needs python3-torch,
# python3-sentencepiece and the shared corpora; exit code 77 where one is absent.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=${TOPLENS_SOURCE_DIR:-$(cd "$here/../.." && pwd)}
shared=${TOPLENS_SHARED_DATA:-$source_dir/../shared}
exec /usr/bin/python3 "$here/train_two_minutes.py" --demo "$source_dir/demo" \
  --corpora "$shared/data/corpora" --seconds "${DEMO_TRAIN_SECONDS:-120}"
