#!/usr/bin/python3
"""Write a small LLaMA checkpoint whose attention heads are known by construction.

    make_planted.py --text TEXT --out DIR            writes the checkpoint
    make_planted.py --text TEXT --out DIR --check    also verifies every head (check_planted.py)

Nothing is trained but the tokenizer: README.md beside this file says what each head does and why.
The same text gives the same bytes.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SEED = 2027
VOCAB = 1024
HIDDEN = 384
HEAD_DIM = 96
QUERY_HEADS, KV_HEADS = 4, 2
INTERMEDIATE = 128
MAX_POSITIONS = 512
ROPE_THETA = 1e12
NORM_EPSILON = 1e-5
UNK, BOS, EOS, NEWLINE = 0, 1, 2, 13  # ids as in LLaMA-2's tokenizer; 3..258 are the bytes

# The residual stream, by dimension.
CODE = slice(0, 64)  # who the token is: a codeword of +-1
PREVIOUS = slice(64, 128)  # who the token before it is, written by layer 0
RETRIEVED = slice(128, 192)  # who the next token should be, written by the induction head
CONSTANT = 192  # the same in every token, and most of the norm
BOS_FLAG = 193
FREE = slice(194, HIDDEN)  # noise by token, and what the remaining heads and the MLPs write
CONSTANT_SIZE, FLAG_SIZE = 32.0, 8.0

# The rotary pairs (i, i + 48) of a head: the fast ones know positions, the slow ones hardly turn
# within the context and carry content.
HALF = HEAD_DIM // 2
FREQUENCY = ROPE_THETA ** (-np.arange(HALF) / HALF)
POSITION_PAIRS = np.arange(0, 9)
CONTENT_PAIRS = np.arange(15, 47)
FLAG_PAIR = 47
# sum_m GAIN_m cos(delta * FREQUENCY_m) is 1 at delta = 0 and at most 0.72 for 1 <= |delta| < 512
# (found by search).
GAIN = np.array([0.5973, 0.0696, 0.0730, 0.0356, 0.0734, 0.0417, 0.0146, 0.0172, 0.0773])

# Which head does what. The two heads of a kv head share its keys, which are one of
#   order:    positions, BOS flag          content:  token codes, positions but for BOS, BOS flag
#   followed: codes of the token before, BOS flag
LAYERS = [
    [("order", ["previous", "sink"]), ("content", ["uniform", "match"])],
    [("content", ["match", "uniform"]), ("order", ["previous", "sink"])],
    [("followed", ["sink", "induction"]), ("content", ["match", "uniform"])],
    [("content", ["uniform", "sink"]), ("content", ["sink", "match"])],
]
MEANING = {
    "sink": "attends the BOS token",
    "previous": "attends the previous token",
    "match": "attends the earlier occurrences of the current token; BOS where there is none",
    "induction": "attends what followed earlier occurrences of the current token; BOS where there is none",
    "uniform": "attends everything, nearly evenly",
}


def codebook():
    """1024 codewords of 64 signs; two different ones agree in 28, 32 or 36 places or in none.

    The functions Tr(a x) + Tr(b x^9) + c on GF(64), with a in GF(64), b in GF(8), c in GF(2):
    for b != 0 they are bent, which bounds every inner product by 8.
    """

    def multiply(x, y):  # GF(2)[X] / (X^6 + X + 1)
        product = 0
        for bit in range(6):
            if y >> bit & 1:
                product ^= x << bit
        for bit in range(10, 5, -1):
            if product >> bit & 1:
                product ^= 0b1000011 << (bit - 6)
        return product

    def power(x, n):
        result = 1
        for _ in range(n):
            result = multiply(result, x)
        return result

    def trace(x, squarings):
        total = 0
        for _ in range(squarings):
            total ^= x
            x = multiply(x, x)
        return total & 1

    subfield = [x for x in range(64) if power(x, 8) == x]
    norm = [power(x, 9) for x in range(64)]
    linear = [[trace(multiply(a, x), 6) for x in range(64)] for a in range(64)]
    quadratic = [[trace(multiply(b, n), 3) for n in norm] for b in subfield]
    words = [
        [1 - 2 * (l ^ q ^ c) for l, q in zip(linear[a], quadratic[b])]
        for c in range(2)
        for b in range(8)
        for a in range(64)
    ]
    return np.array(words, dtype=np.float64)


def train_tokenizer(text_path, out):
    """A byte-fallback BPE model of 1024 pieces, with the settings of LLaMA-2's tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        # The model stores the name of the text it was trained on, so the name must be ours.
        shutil.copyfile(text_path, Path(folder) / "demo_text.txt")
        command = [
            "spm_train", "--input=demo_text.txt", "--model_prefix=tokenizer", "--model_type=bpe",
            f"--vocab_size={VOCAB}", "--byte_fallback=true", "--character_coverage=1.0",
            "--normalization_rule_name=identity", "--remove_extra_whitespaces=false",
            "--split_digits=true", "--allow_whitespace_only_pieces=true",
            "--max_sentence_length=100000", "--num_threads=1",
            f"--unk_id={UNK}", f"--bos_id={BOS}", f"--eos_id={EOS}", "--pad_id=-1",
        ]  # fmt: skip
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        except FileNotFoundError:
            raise SystemExit("spm_train not found: install the Debian package sentencepiece")
        if done.returncode != 0:
            raise SystemExit(f"spm_train failed on {text_path}:\n{done.stderr[-2000:]}")
        shutil.copyfile(Path(folder) / "tokenizer.model", out / "tokenizer.model")


def encode(text_path, out):
    """Token ids of the text with SentencePiece's own tool, line by line."""
    done = subprocess.run(
        ["spm_encode", f"--model={out / 'tokenizer.model'}", "--output_format=id", str(text_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ids = []
    for line in done.stdout.splitlines():
        ids += [int(word) for word in line.split()] + [NEWLINE]
    return np.array(ids)


class Head:
    """Query and key rows of one head, named by rotary pair and side (0: cosine, 1: sine)."""

    def __init__(self):
        self.rows = np.zeros((HEAD_DIM, HIDDEN))

    def pair(self, index, side):
        return self.rows[index + side * HALF]


def key_rows(kind, bos_gain):
    head = Head()
    head.pair(FLAG_PAIR, 0)[BOS_FLAG] = 1 / (FLAG_SIZE * bos_gain)
    if kind in ("order", "content"):
        for m in POSITION_PAIRS:
            head.pair(m, 0)[CONSTANT] = 1 / CONSTANT_SIZE
            if kind == "content":  # BOS is chosen by its flag, wherever it is
                head.pair(m, 0)[BOS_FLAG] = -1 / FLAG_SIZE
    if kind in ("content", "followed"):
        source = CODE if kind == "content" else PREVIOUS
        for n, dimension in enumerate(range(source.start, source.stop)):
            head.pair(CONTENT_PAIRS[n // 2], n % 2)[dimension] = 1
    return head.rows


def query_rows(kind, noise):
    """Rows such that <q, k> is the wanted attention logit; the caller undoes 1/sqrt(head_dim)."""
    head = Head()

    def positions(strength, offset):
        for m, gain in zip(POSITION_PAIRS, GAIN):
            angle = -offset * FREQUENCY[m]
            head.pair(m, 0)[CONSTANT] = strength * gain * np.cos(angle) / CONSTANT_SIZE
            head.pair(m, 1)[CONSTANT] = strength * gain * np.sin(angle) / CONSTANT_SIZE

    def content(strength):
        for n in range(64):
            head.pair(CONTENT_PAIRS[n // 2], n % 2)[n] = strength / 64

    def bos(strength):
        head.pair(FLAG_PAIR, 0)[CONSTANT] = strength / CONSTANT_SIZE

    if kind == "sink":
        bos(14.0)
    elif kind == "previous":
        positions(36.0, offset=1)
    elif kind == "match":
        # A match scores 104 minus at most 0.72 * 42, the token itself 104 - 42; BOS lies between,
        # and all other tokens at most 104 / 8 + 0.87 * 42.
        content(104.0)
        positions(-42.0, offset=0)
        bos(68.0)
    elif kind == "induction":
        content(32.0)
        bos(20.0)
    elif kind == "uniform":
        head.rows[CONTENT_PAIRS[0] : CONTENT_PAIRS[-1] + 1, FREE] = 0.012 * noise(
            len(CONTENT_PAIRS), FREE.stop - FREE.start
        )
    return head.rows


def weights(token_ids):
    """All tensors under their Hugging Face names, float32."""
    generator = np.random.Generator(np.random.PCG64(SEED))

    def noise(*shape):
        # Few digits, so that no library's last bit of a normal number reaches the file.
        return np.round(generator.standard_normal(shape), 4)

    codes = codebook()
    free = FREE.stop - FREE.start

    embedding = np.zeros((VOCAB, HIDDEN))
    embedding[:, CODE] = codes
    embedding[:, CONSTANT] = CONSTANT_SIZE
    embedding[:, FREE] = 0.2 * noise(VOCAB, free)
    embedding[BOS] = 0
    embedding[BOS, CONSTANT] = CONSTANT_SIZE
    embedding[BOS, BOS_FLAG] = FLAG_SIZE

    # Next token: how frequent it is in the text, and what the induction head found.
    counts = np.bincount(token_ids, minlength=VOCAB) + 0.1
    unembedding = np.zeros((VOCAB, HIDDEN))
    unembedding[:, RETRIEVED] = 4.0 / 64 * codes
    unembedding[:, CONSTANT] = np.round(np.log(counts / counts.sum()), 4) / CONSTANT_SIZE

    # RMSNorm divides by the root mean square; its weight puts a typical token's back, so that the
    # rows above may speak of the residual stream as it is.
    def norm_weight(square):
        return np.full(HIDDEN, np.round(np.sqrt(square / HIDDEN), 4))

    embedded = CONSTANT_SIZE**2 + 64 + 0.04 * free
    with_previous = embedded + 64
    bos_square = CONSTANT_SIZE**2 + FLAG_SIZE**2

    tensors = {"model.embed_tokens.weight": embedding, "lm_head.weight": unembedding}
    for layer, kv_heads in enumerate(LAYERS):
        name = f"model.layers.{layer}."
        square = embedded if layer == 0 else with_previous
        bos_gain = np.sqrt(square / bos_square)  # of the norm, for BOS, which has no token before it
        query, key, value = [], [], []
        output = np.zeros((HIDDEN, QUERY_HEADS * HEAD_DIM))
        for kv_head, (keys, kinds) in enumerate(kv_heads):
            key.append(key_rows(keys, bos_gain))
            # Value: the code, noise by token, and a direction common to all tokens. BOS has
            # neither code nor noise and little of the rest: a compressed sink.
            rows = np.zeros((HEAD_DIM, HIDDEN))
            rows[:64, CODE] = np.eye(64)
            rows[:, FREE] = 0.12 * noise(HEAD_DIM, free)
            common = 0.4 * noise(HEAD_DIM)
            rows[:, CONSTANT] = common / CONSTANT_SIZE
            rows[:, BOS_FLAG] = -common / FLAG_SIZE + 0.15 * noise(HEAD_DIM) / FLAG_SIZE
            value.append(rows)
            for position, kind in enumerate(kinds):
                query_head = kv_head * (QUERY_HEADS // KV_HEADS) + position
                query.append(np.sqrt(HEAD_DIM) * query_rows(kind, noise))
                columns = slice(query_head * HEAD_DIM, (query_head + 1) * HEAD_DIM)
                target = None
                if layer == 0 and kind == "previous":
                    target = PREVIOUS
                elif kind == "induction":
                    target = RETRIEVED
                if target is not None:
                    output[target, columns] = np.eye(64, HEAD_DIM)
                else:
                    output[FREE, columns] = 0.01 * noise(free, HEAD_DIM)
        tensors[name + "input_layernorm.weight"] = norm_weight(square)
        tensors[name + "self_attn.q_proj.weight"] = np.concatenate(query)
        tensors[name + "self_attn.k_proj.weight"] = np.concatenate(key)
        tensors[name + "self_attn.v_proj.weight"] = np.concatenate(value)
        tensors[name + "self_attn.o_proj.weight"] = output
        down = np.zeros((HIDDEN, INTERMEDIATE))
        down[FREE] = 0.02 * noise(free, INTERMEDIATE)
        tensors[name + "post_attention_layernorm.weight"] = norm_weight(with_previous)
        for matrix in ("gate_proj", "up_proj"):
            rows = 0.06 * noise(INTERMEDIATE, HIDDEN)
            rows[:, CONSTANT] = 0  # it would outweigh everything else
            tensors[f"{name}mlp.{matrix}.weight"] = rows
        tensors[name + "mlp.down_proj.weight"] = down
    tensors["model.norm.weight"] = norm_weight(with_previous)
    return {name: np.ascontiguousarray(t, dtype="<f4") for name, t in tensors.items()}


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        size = tensors[name].nbytes
        header[name] = {
            "dtype": "F32",
            "shape": list(tensors[name].shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(tensors):
            file.write(tensors[name].tobytes())


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_hidden_layers": len(LAYERS),
    "num_attention_heads": QUERY_HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD_DIM,
    "hidden_act": "silu",
    "max_position_embeddings": MAX_POSITIONS,
    "rms_norm_eps": NORM_EPSILON,
    "rope_theta": ROPE_THETA,
    "rope_scaling": None,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "torch_dtype": "float32",
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "LlamaTokenizer",
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "clean_up_tokenization_spaces": False,
}


def planted_heads():
    """[{layer, head, kind, ...}]: what heads.json says and check_planted.py verifies."""
    return [
        {"layer": layer, "head": 2 * kv_head + position, "kind": kind, "meaning": MEANING[kind]}
        for layer, kv_heads in enumerate(LAYERS)
        for kv_head, (_, kinds) in enumerate(kv_heads)
        for position, kind in enumerate(kinds)
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path, required=True, help="UTF-8 text for the tokenizer")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint directory to write")
    parser.add_argument("--check", action="store_true", help="verify the heads on the text")
    arguments = parser.parse_args()

    arguments.out.mkdir(parents=True, exist_ok=True)
    train_tokenizer(arguments.text, arguments.out)
    token_ids = encode(arguments.text, arguments.out)
    tensors = weights(token_ids)
    write_safetensors(arguments.out / "model.safetensors", tensors)
    write_json(arguments.out / "config.json", CONFIG)
    write_json(arguments.out / "tokenizer_config.json", TOKENIZER_CONFIG)
    write_json(arguments.out / "heads.json", planted_heads())
    print(f"wrote the planted checkpoint to {arguments.out}", file=sys.stderr)
    if arguments.check:
        import check_planted  # imports this module

        check_planted.check_forward(tensors, token_ids)


if __name__ == "__main__":
    main()
