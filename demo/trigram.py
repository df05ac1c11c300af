#!/usr/bin/python3
"""The baseline: an interpolated modified Kneser-Ney token trigram, same tokenizer, same split.

Chen and Goodman (1999), section 3.5: three discounts for each order, estimated from the counts of
counts; the lower orders use continuation counts. Prints bits per byte of the held-out text for the
trigram (order 3) and its neighbours.
"""

import argparse
import json
import math
import sys
from collections import Counter
from pathlib import Path

import sentencepiece

from llama import BOS
from prepare_corpus import split_corpora


class KneserNey:
    def __init__(self, passages: list[list[int]], order: int, vocab_size: int):
        """passages: token ids; each is read with order - 1 times BOS before it."""
        self.order, self.vocab_size = order, vocab_size
        counts = Counter()
        for ids in passages:
            padded = [BOS] * (order - 1) + ids
            counts.update(zip(*(padded[place:] for place in range(order))))
        self.counts: list[dict] = [{}] * order + [counts]
        for n in range(order - 1, 0, -1):  # continuation counts: distinct tokens to the left
            self.counts[n] = Counter(gram[1:] for gram in self.counts[n + 1])
        self.discounts: list[tuple] = [()]
        self.contexts: list[dict] = [{}]  # context -> (sum of counts, discounted mass)
        for n in range(1, order + 1):
            discounts = self.estimate_discounts(self.counts[n])
            contexts: dict[tuple, list[float]] = {}
            for gram, count in self.counts[n].items():
                entry = contexts.setdefault(gram[:-1], [0, 0.0])
                entry[0] += count
                entry[1] += discounts[min(count, 3)]
            self.discounts.append(discounts)
            self.contexts.append(contexts)

    @staticmethod
    def estimate_discounts(counts: dict) -> tuple[float, float, float, float]:
        of = Counter(count for count in counts.values() if count <= 4)
        y = of[1] / (of[1] + 2 * of[2])
        one, two, three = (n - (n + 1) * y * of[n + 1] / of[n] for n in (1, 2, 3))
        return (0.0, one, two, three)

    def probability(self, gram: tuple) -> float:
        """P(last token | the tokens before it)."""
        p = 1.0 / self.vocab_size
        for n in range(1, len(gram) + 1):
            context = self.contexts[n].get(gram[len(gram) - n : -1])
            if context is None:
                continue
            total, mass = context
            count = self.counts[n].get(gram[len(gram) - n :], 0)
            p = (count - self.discounts[n][min(count, 3)] + mass * p) / total
        return p


def main() -> int:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--corpora", type=Path, required=True, help="folder with the four texts")
    parser.add_argument("--tokenizer", type=Path, default=here / "model" / "tokenizer.model")
    parser.add_argument("--orders", type=int, nargs="+", default=[2, 3, 4])
    options = parser.parse_args()
    split = split_corpora(options.corpora)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(options.tokenizer))
    train = [tokenizer.encode(text) for text in split.train]
    held_out = tokenizer.encode(split.held_out)
    num_bytes = len(split.held_out.encode())
    for order in options.orders:
        model = KneserNey(train, order, tokenizer.vocab_size())
        padded = [BOS] * (order - 1) + held_out
        grams = zip(*(padded[place:] for place in range(order)))
        nll = -math.fsum(math.log(model.probability(gram)) for gram in grams)
        everything = math.fsum(
            model.probability((*padded[1000 : 1000 + order - 1], token))
            for token in range(tokenizer.vocab_size())
        )
        if abs(everything - 1) > 1e-9:
            raise SystemExit(f"the probabilities of one context sum to {everything}")
        result = {
            "order": order,
            "nll_nats_per_token": nll / len(held_out),
            "bits_per_byte": nll / math.log(2) / num_bytes,
            "num_targets": len(held_out),
        }
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
