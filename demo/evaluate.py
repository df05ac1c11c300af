#!/usr/bin/python3
"""Score a text with an exported demo model: `toplens perplexity`'s protocol, in torch.

The weights are read back from model.safetensors (bf16) and all arithmetic is f32. The text is
tokenised once; windows of BOS and context-length - 1 tokens do not overlap and the last one is
short; every token that is not BOS is a target.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import torch

from checkpoint import load
from llama import total_nll
from tokenizer import require_round_trip


def main() -> int:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", type=Path, nargs="?", default=here / "model")
    parser.add_argument("--text", type=Path, default=here / "text" / "held_out.txt")
    parser.add_argument("--context-length", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, tokenizer = load(options.model)
    content = options.text.read_bytes()
    ids = require_round_trip(tokenizer, content.decode("utf-8"))
    nll = total_nll(model, ids, options.context_length)
    result = {
        "nll_nats_per_token": nll / len(ids),
        "perplexity": math.exp(nll / len(ids)),
        "num_targets": len(ids),
        "bits_per_byte": nll / math.log(2) / len(content),
        "bytes": len(content),
    }
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
