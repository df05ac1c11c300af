#!/usr/bin/python3
"""Cut the public-domain corpora into a train split, a validation part and the held-out demo text.

The four files are what the training reads; what is held out or kept for validation is never
trained on, neither by the model nor by the tokenizer. Run as a script it writes train.txt,
validation.txt and held_out.txt into a folder; train.py and trigram.py import `split_corpora`.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

# (where the passage starts as a fraction of the work, its length in characters); starts and ends
# are moved to the next paragraph, so lengths are approximate.
HELD_OUT = {
    "moby_dick": [(0.32, 38_000), (0.74, 38_000)],
    "pride_and_prejudice": [(0.55, 44_000)],
    "wizard_of_oz": [(0.45, 6_000)],
    "alice": [(0.60, 5_000)],
    "dracula": [(0.50, 4_000)],
    "monte_cristo": [(0.60, 9_000)],
    "tinyshakespeare": [(0.28, 33_000), (0.80, 33_000)],
}
VALIDATION = {
    "moby_dick": [(0.55, 16_000)],
    "pride_and_prejudice": [(0.25, 9_000)],
    "monte_cristo": [(0.25, 2_500)],
    "tinyshakespeare": [(0.55, 14_000)],
}


@dataclass(frozen=True)
class Split:
    train: list[str]  # contiguous passages in reading order
    validation: list[str]
    held_out: str


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")


def gutenberg_body(text: str, name: str) -> str:
    """The text between Project Gutenberg's markers, without the credits line that follows them."""
    body = re.search(r"\*\*\* START OF TH[^\n]*\*\*\*\n(.*?)\n\*\*\* END OF TH", text, re.DOTALL)
    if body is None:
        raise SystemExit(f"{name}: no Project Gutenberg START and END markers")
    text = re.sub(r"\A\s*Produced by [^\n]*\n", "", body.group(1))
    text = re.sub(r"\n\s*End of (the )?Project Gutenberg[^\n]*(\n[^\n]+)*\s*\Z", "", text)
    return text.strip("\n") + "\n"


def without_contents(text: str) -> str:
    """Moby Dick without its table of contents (the chapters repeat it) and its editors' note."""
    return re.sub(r"\nCONTENTS\n.*?(?=\n +ETYMOLOGY\.\n)", "\n", text, flags=re.DOTALL)


def children_and_gothic(text: str) -> dict[str, str]:
    """The file wizard_of_oz.txt holds excerpts of four novels, not one.

    It is a JSON-like list of page strings: quotes, commas and brackets stand between the pages, a
    lone `...` ends an excerpt and, at a page break, a line or two are printed twice in a row.
    """
    joint = r'"?,?\n((?:[ ]*(?:\],?|\[|\.\.\.,?)\n)*)    "'
    text = re.sub(joint, lambda found: "\0" if "..." in found.group(1) else "\n", text)
    text = re.sub(r'"\n[ ]*\]\n\]?\s*\Z', "\n", text)
    parts = text.split("\0")
    # A tandem repeat of 20 characters or more is a page break (at most a newline in between).
    parts = [re.sub(r"(.{20,400}?)\n?\1", r"\1", part, flags=re.DOTALL) for part in parts]
    parts = [part.strip("\n ").replace("\u00a0", " ") + "\n" for part in parts]
    names = ["wizard_of_oz", "alice", "dracula", "monte_cristo"]
    landmarks = ["Dorothy", "Gryphon", "Van Helsing", "Villefort"]
    works: dict[str, str] = {}
    for part in parts:
        for name, landmark in zip(names, landmarks):
            if landmark in part:
                works[name] = works.get(name, "") + part
                break
        else:
            raise SystemExit(f"wizard_of_oz.txt: an excerpt of an unknown work: {part[:60]!r}")
    if list(works) != names:
        raise SystemExit(f"wizard_of_oz.txt: expected excerpts of {names}, found {list(works)}")
    return works


def read_works(corpora: Path) -> dict[str, str]:
    moby_dick = gutenberg_body(read_text(corpora / "moby_dick.txt"), "moby_dick.txt")
    austen = "pride_and_prejudice.txt"
    pride = gutenberg_body(read_text(corpora / austen), austen)
    return {
        "moby_dick": without_contents(moby_dick),
        "pride_and_prejudice": pride,
        **children_and_gothic(read_text(corpora / "wizard_of_oz.txt")),
        "tinyshakespeare": read_text(corpora / "tinyshakespeare.txt"),
    }


def paragraph_start(text: str, position: int) -> int:
    """The first start of a paragraph at or after `position` (of a line where none is near)."""
    blank = text.find("\n\n", position)
    if 0 <= blank < position + 3000:
        return len(text) - len(text[blank:].lstrip("\n"))
    return text.index("\n", position) + 1


def cut(name: str, text: str) -> tuple[list[str], list[str], list[str]]:
    """The passages of one work: train, validation, held out."""
    pieces: dict[str, list[str]] = {"train": [], "validation": [], "held_out": []}
    ranges = [(*passage, "held_out") for passage in HELD_OUT.get(name, [])]
    ranges += [(*passage, "validation") for passage in VALIDATION.get(name, [])]
    position = 0
    for fraction, length, kind in sorted(ranges):
        start = paragraph_start(text, int(fraction * len(text)))
        end = paragraph_start(text, start + length)
        pieces["train"].append(text[position:start])
        pieces[kind].append(text[start:end])
        position = end
    pieces["train"].append(text[position:])
    return pieces["train"], pieces["validation"], pieces["held_out"]


def split_corpora(corpora: Path) -> Split:
    train: list[str] = []
    validation: list[str] = []
    held_out: list[str] = []
    for name, text in read_works(corpora).items():
        in_train, in_validation, in_held_out = cut(name, text)
        train += in_train
        validation += in_validation
        held_out += in_held_out
    passages = [passage.strip("\n") for passage in held_out]
    return Split(train, validation, "\n\n".join(passages) + "\n")


def shared_fraction(text: str, train: list[str], length: int = 60) -> float:
    """Share of the text's stretches of `length` characters that also occur in the train split."""
    joined = "\n".join(train)
    seen = {hash(joined[i : i + length]) for i in range(len(joined) - length)}
    starts = range(0, len(text) - length, 7)
    return sum(hash(text[i : i + length]) in seen for i in starts) / len(starts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path, help="folder with the four text files")
    parser.add_argument("out", type=Path, help="folder to write the three texts into")
    arguments = parser.parse_args()
    split = split_corpora(arguments.corpora)
    arguments.out.mkdir(parents=True, exist_ok=True)
    texts = {
        "train.txt": "".join(split.train),
        "validation.txt": "".join(split.validation),
        "held_out.txt": split.held_out,
    }
    for name, text in texts.items():
        (arguments.out / name).write_bytes(text.encode("utf-8"))
        print(f"{name}: {len(text.encode('utf-8'))} bytes")
    shared = shared_fraction(split.held_out, split.train)
    print(f"held-out stretches of 60 characters found in train: {shared:.5f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
