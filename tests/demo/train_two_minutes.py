#!/usr/bin/python3
"""Runs demo/train.py for a short time and checks what it leaves: the loss went down, the export is
a complete checkpoint that evaluate.py scores as the trainer did, a stopped run resumes, and the
shipped tokenizer gives the demo text back exactly. Exit code 77: something it needs is absent."""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SKIPPED = 77
# An untrained model's loss is ln 2048 = 7.62 nats; the tokens' own frequencies give about 6.2.
REQUIRED_DROP = 1.5
MAX_SHIPPED_BYTES = 12_000_000

failures: list[str] = []


def check(holds: bool, message: str) -> None:
    print(("ok: " if holds else "FAILED: ") + message, flush=True)
    if not holds:
        failures.append(message)


def skip(message: str, required_in_ci: bool) -> None:
    print(f"SKIPPED: {message}")
    sys.exit(1 if required_in_ci and "CI" in os.environ else SKIPPED)


def check_shipped_files(demo: Path, corpora: Path) -> None:
    import sentencepiece

    sys.path.insert(0, str(demo))
    from prepare_corpus import shared_fraction, split_corpora

    content = (demo / "text" / "held_out.txt").read_bytes()
    text = content.decode("utf-8")
    split = split_corpora(corpora)
    check(split.held_out == text, "demo/text/held_out.txt is what prepare_corpus.py holds out")
    check(shared_fraction(text, split.train) == 0, "no 60 characters of it are in the train split")
    files = [path for path in demo.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    total = sum(path.stat().st_size for path in files)
    check(total < MAX_SHIPPED_BYTES, f"demo/ has {total} bytes, fewer than {MAX_SHIPPED_BYTES}")
    tokenizer = sentencepiece.SentencePieceProcessor(
        model_file=str(demo / "model" / "tokenizer.model")
    )
    ids = tokenizer.encode(text)
    back = tokenizer.decode(ids).encode("utf-8")
    check(back == content, "the tokenizer gives the demo text back exactly")
    check(len(ids) >= 80 * 511, f"its {len(ids)} tokens are 80 windows of 512 or more")
    record = json.loads((demo / "model" / "training.json").read_text())
    scored = evaluate(demo, demo / "model")
    drift = abs(scored["nll_nats_per_token"] - record["held_out"]["nll_nats_per_token"])
    check(drift < 1e-3, f"the shipped model scores as training.json says (off by {drift:.1e} nats)")


def evaluate(demo: Path, model: Path) -> dict:
    command = ["/usr/bin/python3", demo / "evaluate.py", model]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def check_recipe(demo: Path, corpora: Path, seconds: float, scratch: Path) -> None:
    model = scratch / "model"
    command = ["/usr/bin/python3", demo / "train.py", "--corpora", corpora, "--out", model]
    command += ["--seconds", str(seconds), "--report-seconds", "10"]
    subprocess.run(command, check=True)
    record = json.loads((model / "training.json").read_text())
    untrained = math.log(record["settings"]["vocab_size"])
    trained = record["held_out"]["nll_nats_per_token"]
    check(
        trained < untrained - REQUIRED_DROP,
        f"held-out loss {trained:.3f}: {REQUIRED_DROP} nats below the untrained {untrained:.3f}",
    )
    curve = [point["train_nll"] for point in record["curve"]]
    check(curve[-1] < curve[0], f"the training loss fell from {curve[0]} to {curve[-1]}")
    scored = evaluate(demo, model)["nll_nats_per_token"]
    check(abs(scored - trained) < 1e-6, f"evaluate.py says {scored}, the trainer {trained}")

    # Stopped by SIGTERM it leaves an export; resumed it goes on from the step it had reached.
    command += ["--resume", "--seconds", str(10 * seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("step"):
            process.send_signal(signal.SIGTERM)
            break
    process.communicate(timeout=300)
    resumed = json.loads((model / "training.json").read_text())
    check(process.returncode == 0, f"a run stopped by SIGTERM ends with {process.returncode}")
    before, after = record["steps"], resumed["steps"]
    check(after > before, f"resumed at step {before}, stopped at step {after}")
    check(not resumed["schedule_finished"], "its record says that the schedule was not finished")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, required=True)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=120.0)
    options = parser.parse_args()
    if not options.corpora.is_dir():
        skip(f"shared data is absent: {options.corpora}", required_in_ci=True)
    for module in ("torch", "sentencepiece"):
        found = subprocess.run(["/usr/bin/python3", "-c", f"import {module}"], capture_output=True)
        if found.returncode != 0:
            skip(f"python3-{module} is absent", required_in_ci=False)
    started = time.monotonic()
    check_shipped_files(options.demo, options.corpora)
    with tempfile.TemporaryDirectory() as scratch:
        check_recipe(options.demo, options.corpora, options.seconds, Path(scratch))
    print(f"{len(failures)} failures, {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
