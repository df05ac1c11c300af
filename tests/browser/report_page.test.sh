#!/bin/bash
# report.html of the demo run, of a document full of markup and of a run with 1024 heads, in Debian's
# chromium. Pictures stay in the build directory, browser/.
set -euo pipefail
command -v chromium >/dev/null || { echo "SKIPPED: chromium is not installed"; exit 77; }
node=$(command -v node || command -v nodejs) || { echo "SKIPPED: node is not installed"; exit 77; }
playwright=$TOPLENS_BUILD_DIR/browser/npm/node_modules/playwright-core
toplens=$(realpath --relative-to="$TOPLENS_SOURCE_DIR" "$TOPLENS_BUILD_DIR/toplens")
out=$TOPLENS_BUILD_DIR/browser
# Paths as a person would write them stand in the pictures.
cd "$TOPLENS_SOURCE_DIR"
out=$(realpath -m --relative-to=. "$out")
rm -rf "$out/run" "$out/budget" "$out/markup" "$out/large" "$out/pictures"
mkdir -p "$out"

"$toplens" analyze demo/model --text demo/text/held_out.txt \
  --context-length 512 --documents 32 --out "$out/run" > "$out/run.txt" 2>&1
"$toplens" intervene demo/model --text demo/text/held_out.txt --context-length 256 --documents 4 \
  --set-sizes 1,2,4,8,16,32,64,128 --ranking attention,random --rule delete --scope model \
  --out "$out/run" > "$out/intervene.txt" 2>&1
"$toplens" budget demo/model --text demo/text/held_out.txt --context-length 128 --documents 2 \
  --set-sizes 4,16,64 --ranking attention --rule delete --tolerance 0.05 \
  --out "$out/budget" > "$out/budget.txt" 2>&1
cp "$out/budget/budget.json" "$out/run/"
"$toplens" report "$out/run"
TOPLENS_KEEP_LARGE_RUN=$out/large \
  "$TOPLENS_BUILD_DIR/tests/toplens_report_test" --gtest_filter='*AThousandHeads*' > "$out/large.txt"
"$node" "$TOPLENS_SOURCE_DIR/tests/browser/report_page.mjs" \
  "$playwright" "$out/run" "$out/pictures" "$out/large"

# A document that would run a script if its text were ever taken for markup.
printf '%s' '</script><script>window.ranText = 1</script><img src=x onerror="window.ranText = 2">' \
  '<b>bold</b> &amp; ' > "$out/one.txt"
for _ in {1..120}; do cat "$out/one.txt"; done > "$out/<i>markup<i>.txt"
"$toplens" analyze demo/model --text "$out/<i>markup<i>.txt" \
  --context-length 128 --documents 8 --set-sizes 1,2,4 --out "$out/markup" > "$out/markup.txt" 2>&1
"$node" "$TOPLENS_SOURCE_DIR/tests/browser/markup_page.mjs" "$playwright" "$out/markup/report.html"
