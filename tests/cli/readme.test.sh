#!/bin/bash
# Runs the README's commands. A block after `<!-- tested -->` is run from the project's root, in the
# README's order; of one after `<!-- options tested -->` every option must be in the command's --help;
# `<!-- not tested: why -->` is left out; a block of bash or python with none of these is an error.
set -euo pipefail
if [[ $(readlink -f "$TOPLENS_BUILD_DIR") != "$(readlink -f "$TOPLENS_SOURCE_DIR/build/release")" ]]; then
  echo "SKIPPED: the README speaks of build/release"
  exit 77
fi
cd "$TOPLENS_SOURCE_DIR"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# $scratch/NN.MARK.LANGUAGE, one file for each block.
awk -v out="$scratch" '
  /^<!-- (tested|options tested|not tested: .*) -->$/ {
    mark = $2 == "tested" ? "run" : $2 == "options" ? "options" : "skip"; next
  }
  /^```/ && !inside {
    inside = 1; language = substr($0, 4)
    file = sprintf("%s/%02d.%s.%s", out, ++count, mark == "" ? "unmarked" : mark, language); mark = ""
    next
  }
  /^```/ { inside = 0; close(file); next }
  inside { print > file; next }
  NF { mark = "" }
' README.md

ran=0
for block in "$scratch"/*.*.*; do
  case $block in
    *.run.bash) echo "== $(head -n 1 "$block")"; bash -euo pipefail "$block" ;;
    *.run.python) echo "== python"; /usr/bin/python3 "$block" ;;
    *.options.bash)
      read -r tool command _ < "$block"
      "$tool" "$command" --help > "$scratch/help"
      while read -r option; do
        grep -qE -e "(^|[^a-z-])$option([^a-z-]|$)" "$scratch/help" ||
          { echo "README: $tool $command has no option $option" >&2; exit 1; }
      done < <(grep -oE -e '--[a-z-]+' "$block")
      ;;
    *.skip.*) ;;
    *) echo "README: a block is not marked: $(head -n 1 "$block")" >&2; exit 1 ;;
  esac
  ran=$((ran + 1))
done
[[ $ran -ge 5 ]] || { echo "README: only $ran blocks found" >&2; exit 1; }
