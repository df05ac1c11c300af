"""Writes a GGUF file from a Hugging Face checkpoint, as llama.cpp's converter and quantiser would lay
it out, and on request the checkpoint with the weights that the file then stands for.

    write_gguf.py CHECKPOINT OUT.gguf --type Q4_K [--dequantized DIR] [--tokenizer FILE [--pre NAME]]
    write_gguf.py --seeds DIR      (small files for the fuzz target to start from)

Written without the project's code: containers, permutation, packing and the float64 dequantisation
that the tests compare with are all here. Rounding is to nearest; llama.cpp's search for better scales
does not matter to a reader. A matrix whose rows are no whole blocks falls back as in llama.cpp: K types
to types of 32 elements, these to F16.
"""

import argparse
import json
import math
import pathlib
import shutil
import struct

import numpy as np

GGML_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8,
              "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "BF16": 30}
FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64 = range(13)
SCALARS = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?",
           U64: "<Q", I64: "<q", F64: "<d"}


# --- number formats -----------------------------------------------------------------------------

def halves(values):
    """float64 [n] to float16 and its bytes [n, 2]."""
    half = np.asarray(values, np.float64).astype(np.float16)
    return half.astype(np.float64), half.view(np.uint8).reshape(-1, 2)


def half_values(data):
    return np.ascontiguousarray(data).view(np.float16).astype(np.float64)


def ratio(a, b):
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b != 0)


def to_bf16(values):
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def pack_nibbles(q):
    """[n, 32] of 4 bits: the first 16 are the low nibbles."""
    return (q[:, :16] | q[:, 16:] << 4).astype(np.uint8)


def unpack_nibbles(data):
    return np.concatenate([data & 15, data >> 4], axis=1).astype(np.int64)


def signed_largest(x):
    at = np.abs(x).argmax(axis=1)
    return x[np.arange(len(x)), at]


class Q8_0:
    size, bytes = 32, 34

    @staticmethod
    def pack(x):
        d, d_bytes = halves(np.abs(x).max(axis=1) / 127)
        q = np.clip(np.rint(ratio(x, d[:, None])), -127, 127).astype(np.int8)
        return np.concatenate([d_bytes, q.view(np.uint8)], axis=1)

    @staticmethod
    def unpack(b):
        return half_values(b[:, :2]) * np.ascontiguousarray(b[:, 2:]).view(np.int8)


class Q4_0:
    size, bytes, offset = 32, 18, 8

    @staticmethod
    def pack(x):
        d, d_bytes = halves(signed_largest(x) / -8)
        q = np.clip(np.rint(ratio(x, d[:, None])) + 8, 0, 15).astype(np.int64)
        return np.concatenate([d_bytes, pack_nibbles(q)], axis=1)

    @staticmethod
    def unpack(b):
        return half_values(b[:, :2]) * (unpack_nibbles(b[:, 2:]) - 8)


def fifth_bits(q):
    return np.packbits((q >> 4 & 1).astype(np.uint8), axis=1, bitorder="little")


def add_fifth_bits(low, data):
    return low + 16 * np.unpackbits(data, axis=1, bitorder="little").astype(np.int64)


class Q5_0:
    size, bytes = 32, 22

    @staticmethod
    def pack(x):
        d, d_bytes = halves(signed_largest(x) / -16)
        q = np.clip(np.rint(ratio(x, d[:, None])) + 16, 0, 31).astype(np.int64)
        return np.concatenate([d_bytes, fifth_bits(q), pack_nibbles(q & 15)], axis=1)

    @staticmethod
    def unpack(b):
        q = add_fifth_bits(unpack_nibbles(b[:, 6:]), b[:, 2:6])
        return half_values(b[:, :2]) * (q - 16)


class Q4_1:
    size, bytes = 32, 20

    @staticmethod
    def pack(x):
        d, d_bytes = halves((x.max(axis=1) - x.min(axis=1)) / 15)
        m, m_bytes = halves(x.min(axis=1))
        q = np.clip(np.rint(ratio(x - m[:, None], d[:, None])), 0, 15).astype(np.int64)
        return np.concatenate([d_bytes, m_bytes, pack_nibbles(q)], axis=1)

    @staticmethod
    def unpack(b):
        return half_values(b[:, :2]) * unpack_nibbles(b[:, 4:]) + half_values(b[:, 2:4])


class Q5_1:
    size, bytes = 32, 24

    @staticmethod
    def pack(x):
        d, d_bytes = halves((x.max(axis=1) - x.min(axis=1)) / 31)
        m, m_bytes = halves(x.min(axis=1))
        q = np.clip(np.rint(ratio(x - m[:, None], d[:, None])), 0, 31).astype(np.int64)
        return np.concatenate([d_bytes, m_bytes, fifth_bits(q), pack_nibbles(q & 15)], axis=1)

    @staticmethod
    def unpack(b):
        q = add_fifth_bits(unpack_nibbles(b[:, 8:]), b[:, 4:8])
        return half_values(b[:, :2]) * q + half_values(b[:, 2:4])


def quantize_groups(x, largest):
    """The 8 groups of a K block with scales and minima of 6 bits: bytes of d, dmin and the 12 packed
    ones, and q [n, 8, 32]."""
    groups = x.reshape(-1, 8, 32)
    low = np.minimum(groups.min(axis=2), 0)
    scale = (groups.max(axis=2) - low) / largest
    d, d_bytes = halves(scale.max(axis=1) / 63)
    d_min, d_min_bytes = halves(-low.min(axis=1) / 63)
    s = np.clip(np.rint(ratio(scale, d[:, None])), 0, 63).astype(np.int64)
    m = np.clip(np.rint(ratio(-low, d_min[:, None])), 0, 63).astype(np.int64)
    step, shift = (d[:, None] * s)[..., None], (d_min[:, None] * m)[..., None]
    q = np.clip(np.rint(ratio(groups + shift, step)), 0, largest).astype(np.int64)
    packed = np.concatenate([s[:, :4] | s[:, 4:] >> 4 << 6, m[:, :4] | m[:, 4:] >> 4 << 6,
                             (s[:, 4:] & 15) | (m[:, 4:] & 15) << 4], axis=1).astype(np.uint8)
    return np.concatenate([d_bytes, d_min_bytes, packed], axis=1), q


def unpack_groups(head):
    a, b, c = (head[:, 4 + 4 * i: 8 + 4 * i].astype(np.int64) for i in range(3))
    s = np.concatenate([a & 63, (c & 15) | a >> 6 << 4], axis=1)
    m = np.concatenate([b & 63, c >> 4 | b >> 6 << 4], axis=1)
    return half_values(head[:, :2]) * s, half_values(head[:, 2:4]) * m


def pack_group_pairs(q):
    pairs = q.reshape(-1, 4, 2, 32)
    return (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(-1, 128).astype(np.uint8)


def unpack_group_pairs(data):
    pairs = data.reshape(-1, 4, 1, 32).astype(np.int64)
    return np.concatenate([pairs & 15, pairs >> 4], axis=2).reshape(-1, 8, 32)


class Q4_K:
    size, bytes = 256, 144

    @staticmethod
    def pack(x):
        head, q = quantize_groups(x, 15)
        return np.concatenate([head, pack_group_pairs(q)], axis=1)

    @staticmethod
    def unpack(b):
        step, shift = unpack_groups(b[:, :16])
        values = step[..., None] * unpack_group_pairs(b[:, 16:]) - shift[..., None]
        return values.reshape(-1, 256)


class Q5_K:
    size, bytes = 256, 176

    @staticmethod
    def pack(x):
        head, q = quantize_groups(x, 31)
        fifth = ((q >> 4 & 1) << np.arange(8)[:, None]).sum(axis=1).astype(np.uint8)
        return np.concatenate([head, fifth, pack_group_pairs(q & 15)], axis=1)

    @staticmethod
    def unpack(b):
        step, shift = unpack_groups(b[:, :16])
        fifth = b[:, None, 16:48].astype(np.int64) >> np.arange(8)[:, None] & 1
        q = unpack_group_pairs(b[:, 48:]) + 16 * fifth
        return (step[..., None] * q - shift[..., None]).reshape(-1, 256)


class Q6_K:
    size, bytes = 256, 210

    @staticmethod
    def pack(x):
        groups = x.reshape(-1, 16, 16)
        scale = signed_largest(groups.reshape(-1, 16)).reshape(-1, 16) / -32
        d, d_bytes = halves(np.abs(scale).max(axis=1) / 127)
        s = np.clip(np.rint(ratio(scale, d[:, None])), -128, 127)
        q = np.clip(np.rint(ratio(groups, (d[:, None] * s)[..., None])) + 32, 0, 63)
        q = q.astype(np.int64).reshape(-1, 2, 4, 32)  # half, quarter
        low, high = q & 15, q >> 4
        nibbles = low[:, :, :2] | low[:, :, 2:] << 4
        upper = (high << 2 * np.arange(4)[:, None]).sum(axis=2)
        return np.concatenate([nibbles.reshape(-1, 128).astype(np.uint8),
                               upper.reshape(-1, 64).astype(np.uint8),
                               s.astype(np.int8).view(np.uint8), d_bytes], axis=1)

    @staticmethod
    def unpack(b):
        nibbles = b[:, :128].reshape(-1, 2, 2, 32).astype(np.int64)
        low = np.concatenate([nibbles & 15, nibbles >> 4], axis=2)
        high = b[:, 128:192].reshape(-1, 2, 1, 32).astype(np.int64) >> 2 * np.arange(4)[:, None] & 3
        q = (low | high << 4).reshape(-1, 16, 16) - 32
        step = half_values(b[:, 208:]) * np.ascontiguousarray(b[:, 192:208]).view(np.int8)
        return (step[..., None] * q).reshape(-1, 256)


BLOCKS = {c.__name__: c for c in (Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K)}


def store(values, kind):
    """Bytes of a float32 array in a type, and the float32 array that they stand for."""
    if kind == "F32":
        return values.astype("<f4").tobytes(), values.astype(np.float32)
    if kind == "F16":
        half = values.astype("<f2")
        return half.tobytes(), half.astype(np.float32)
    if kind == "BF16":
        bits = to_bf16(values)
        return bits.tobytes(), (bits.astype(np.uint32) << 16).view(np.float32)
    block = BLOCKS[kind]
    packed = block.pack(values.astype(np.float64).reshape(-1, block.size))
    assert packed.shape[1] == block.bytes
    exact = block.unpack(packed).astype(np.float64)
    return packed.tobytes(), exact.astype(np.float32).reshape(values.shape)


def type_of(kind, name, shape):
    if len(shape) == 1:
        return "F32"
    if kind == "Q4_K_M":
        kind = "Q6_K" if "attn_v" in name or "ffn_down" in name or name == "output.weight" else "Q4_K"
    if kind in BLOCKS and shape[-1] % BLOCKS[kind].size:
        kind = FALLBACK.get(kind, "F16")
    if kind in BLOCKS and shape[-1] % BLOCKS[kind].size:
        kind = "F16"
    return kind


# --- safetensors ---------------------------------------------------------------------------------

def read_safetensors(directory):
    tensors = {}
    for path in sorted(directory.glob("*.safetensors")):
        raw = path.read_bytes()
        length = struct.unpack_from("<Q", raw)[0]
        header = json.loads(raw[8:8 + length])
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            data = raw[8 + length + begin:8 + length + end]
            if entry["dtype"] == "BF16":
                values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
            else:
                values = np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]])
            tensors[name] = values.astype(np.float32).reshape(entry["shape"])
    return tensors


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape),
                        "data_offsets": [offset, offset + 4 * values.size]}
        offset += 4 * values.size
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            out.write(values.astype("<f4").tobytes())


# --- the model ---------------------------------------------------------------------------------

LAYER_NAMES = {"input_layernorm.weight": "attn_norm.weight",
               "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
               "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
               "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
               "post_attention_layernorm": "ffn_norm"}
GEMMA2_NAMES = {"post_attention_layernorm": "post_attention_norm",
                "pre_feedforward_layernorm": "ffn_norm",
                "post_feedforward_layernorm": "post_ffw_norm"}


def gguf_name(name, architecture):
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    if name == "lm_head.weight":
        return "output.weight"
    _, _, layer, rest = name.split(".", 3)
    names = {**LAYER_NAMES, **(GEMMA2_NAMES if architecture == "gemma2" else {})}
    for theirs, ours in names.items():
        if rest.startswith(theirs):
            return f"blk.{layer}.{ours}{rest[len(theirs):]}"
    raise KeyError(name)


def permute(values, heads):
    """The converter's order of query and key rows for rotary pairs that lie side by side."""
    shape = (heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return values.reshape(shape).swapaxes(1, 2).reshape(values.shape)


def llama3_divisors(config, head_dim):
    scaling = config["rope_scaling"]
    theta, factor = config["rope_theta"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    context = scaling["original_max_position_embeddings"]
    divisors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * theta ** (i / head_dim)
        if wavelength < context / high:
            divisors.append(1.0)
        elif wavelength > context / low:
            divisors.append(factor)
        else:
            smooth = (context / wavelength - low) / (high - low)
            divisors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(divisors, np.float32)


def metadata_of(config, architecture, head_dim):
    a = architecture
    heads = config["num_attention_heads"]
    rows = [("general.architecture", TEXT, a), ("general.name", TEXT, "test"),
            (f"{a}.block_count", U32, config["num_hidden_layers"]),
            (f"{a}.context_length", U32, config["max_position_embeddings"]),
            (f"{a}.embedding_length", U32, config["hidden_size"]),
            (f"{a}.feed_forward_length", U32, config["intermediate_size"]),
            (f"{a}.attention.head_count", U32, heads),
            (f"{a}.attention.head_count_kv", U32, config.get("num_key_value_heads", heads)),
            (f"{a}.attention.layer_norm_rms_epsilon", F32, config["rms_norm_eps"])]
    if a != "qwen2":
        rows += [(f"{a}.attention.key_length", U32, head_dim),
                 (f"{a}.attention.value_length", U32, head_dim)]
    if not a.startswith("gemma"):
        rows.append((f"{a}.rope.freq_base", F32, config["rope_theta"]))
    if a == "llama":
        rows += [("llama.vocab_size", U32, config["vocab_size"]),
                 ("llama.rope.dimension_count", U32, head_dim)]
    if a != "qwen2" and config.get("sliding_window"):
        rows.append((f"{a}.attention.sliding_window", U32, config["sliding_window"]))
    if a == "gemma2":
        rows += [(f"{a}.{key}", F32, config[key])
                 for key in ("attn_logit_softcapping", "final_logit_softcapping")]
    for key in ("bos_token_id", "eos_token_id"):
        if config.get(key) is not None:
            rows.append((f"tokenizer.ggml.{key}", U32, config[key]))
    return rows


# --- the tokenizer -----------------------------------------------------------------------------

def wire_fields(data):
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            yield tag >> 3, varint()
        else:
            length = varint() if kind == 2 else {1: 8, 5: 4}[kind]
            yield tag >> 3, data[at:at + length]
            at += length


def sentencepiece_rows(path):
    tokens, scores, types, prefix = [], [], [], True
    for field, value in wire_fields(path.read_bytes()):
        if field == 1:
            piece = dict(wire_fields(value))
            kind = piece.get(3, 1)
            text = piece[1].decode()
            tokens.append(text.replace("\u2581", " ") if kind == 4 else text)
            scores.append(struct.unpack("<f", piece.get(2, b"\0\0\0\0"))[0])
            types.append(kind)
        if field == 3:
            prefix = bool(dict(wire_fields(value)).get(3, 1))
    rows = [("tokenizer.ggml.model", TEXT, "llama"), ("tokenizer.ggml.pre", TEXT, "default"),
            ("tokenizer.ggml.tokens", (ARRAY, TEXT), tokens),
            ("tokenizer.ggml.scores", (ARRAY, F32), scores),
            ("tokenizer.ggml.token_type", (ARRAY, I32), types),
            ("tokenizer.ggml.add_bos_token", BOOL, True)]
    if not prefix:
        rows.append(("tokenizer.ggml.add_space_prefix", BOOL, False))
    return rows


def byte_level_rows(path, pre):
    model = json.loads(path.read_text())
    vocabulary = {token: id for token, id in model["model"]["vocab"].items()}
    added = {token["content"]: token for token in model.get("added_tokens", [])}
    vocabulary.update({content: token["id"] for content, token in added.items()})
    by_id = {id: token for token, id in vocabulary.items()}
    tokens = [by_id.get(i, f"[PAD{i}]") for i in range(max(by_id) + 1)]
    types = [5 if i not in by_id else 1 if tokens[i] not in added
             else 3 if added[tokens[i]]["special"] else 4 for i in range(len(tokens))]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["model"]["merges"]]
    return [("tokenizer.ggml.model", TEXT, "gpt2"), ("tokenizer.ggml.pre", TEXT, pre),
            ("tokenizer.ggml.tokens", (ARRAY, TEXT), tokens),
            ("tokenizer.ggml.token_type", (ARRAY, I32), types),
            ("tokenizer.ggml.merges", (ARRAY, TEXT), merges)]


# --- the container -----------------------------------------------------------------------------

def text_bytes(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(kind, value):
    return text_bytes(value) if kind == TEXT else struct.pack(SCALARS[kind], value)


def container(rows, tensors, alignment=32):
    """tensors: (name, shape, type name, bytes) in order."""
    out = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(rows))]
    for key, kind, value in rows:
        out.append(text_bytes(key))
        if isinstance(kind, tuple):
            out.append(struct.pack("<IIQ", ARRAY, kind[1], len(value)))
            out += [value_bytes(kind[1], item) for item in value]
        else:
            out.append(struct.pack("<I", kind) + value_bytes(kind, value))
    offset = 0
    for name, shape, kind, data in tensors:
        out.append(text_bytes(name) + struct.pack("<I", len(shape)))
        out.append(struct.pack(f"<{len(shape)}Q", *reversed(shape)))
        out.append(struct.pack("<IQ", GGML_TYPES[kind], offset))
        offset += -(-len(data) // alignment) * alignment
    head = b"".join(out)
    body = [head + b"\0" * (-len(head) % alignment)]
    body += [data + b"\0" * (-len(data) % alignment) for _, _, _, data in tensors]
    return b"".join(body)


def write_seeds(directory):
    """Heads of tiny models with tokenizers of a few tokens; the weights are zeros."""
    directory.mkdir(parents=True, exist_ok=True)
    pieces = [("tokenizer.ggml.model", TEXT, "llama"),
              ("tokenizer.ggml.tokens", (ARRAY, TEXT),
               ["<unk>", "<s>", "</s>", "\u2581", "a", "\u2581a", "  "]),
              ("tokenizer.ggml.scores", (ARRAY, F32), [0, 0, 0, -2, -3, -1, 0]),
              ("tokenizer.ggml.token_type", (ARRAY, I32), [2, 3, 3, 1, 1, 1, 4]),
              ("tokenizer.ggml.add_space_prefix", BOOL, False)]
    pairs = [("tokenizer.ggml.model", TEXT, "gpt2"), ("tokenizer.ggml.pre", TEXT, "qwen2"),
             ("tokenizer.ggml.tokens", (ARRAY, TEXT),
              ["a", "b", "ab", "\u0120", "\u0120a", "<|end|>"]),
             ("tokenizer.ggml.token_type", (ARRAY, I32), [1, 1, 1, 1, 1, 3]),
             ("tokenizer.ggml.merges", (ARRAY, TEXT), ["a b", "\u0120 a"])]
    config = {"num_hidden_layers": 1, "max_position_embeddings": 8, "hidden_size": 32,
              "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "vocab_size": 7, "bos_token_id": 1,
              "sliding_window": 4, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    for architecture, tokenizer in (("llama", pieces), ("qwen2", pairs), ("gemma2", pieces)):
        rows = metadata_of(config, architecture, 16) + tokenizer
        tensors = [("token_embd.weight", (7, 32), "Q8_0", bytes(7 * 34))]
        if architecture == "llama":
            tensors.append(("rope_freqs.weight", (8,), "F32", np.ones(8, "<f4").tobytes()))
        (directory / architecture).write_bytes(container(rows, tensors))
    (directory / "empty").write_bytes(container([], []))
    (directory / "aligned").write_bytes(
        container([("general.alignment", U32, 8), ("big", U64, 2 ** 63), ("f", F64, 0.5)], [], 8))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=pathlib.Path, nargs="?")
    parser.add_argument("out", type=pathlib.Path, nargs="?")
    parser.add_argument("--seeds", type=pathlib.Path)
    parser.add_argument("--type", default="F32", choices=[*GGML_TYPES, "Q4_K_M"])
    parser.add_argument("--dequantized", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path)
    parser.add_argument("--pre", default="gpt-2")
    arguments = parser.parse_args()
    if arguments.seeds is not None:
        return write_seeds(arguments.seeds)
    if arguments.out is None:
        parser.error("give CHECKPOINT and OUT.gguf")

    config = json.loads((arguments.checkpoint / "config.json").read_text())
    architecture = {"mistral": "llama"}.get(config["model_type"], config["model_type"])
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    rows = metadata_of(config, architecture, head_dim)
    if arguments.tokenizer is not None:
        rows += (byte_level_rows(arguments.tokenizer, arguments.pre)
                 if arguments.tokenizer.suffix == ".json" else sentencepiece_rows(arguments.tokenizer))

    stored, exact = [], {}
    if (config.get("rope_scaling") or {}).get("rope_type") == "llama3":
        divisors = llama3_divisors(config, head_dim)
        stored.append(("rope_freqs.weight", divisors.shape, "F32", store(divisors, "F32")[0]))
    for name, values in read_safetensors(arguments.checkpoint).items():
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        ours = gguf_name(name, architecture)
        kind = type_of(arguments.type, ours, values.shape)
        if architecture == "llama" and ".attn_q." in ours:
            values = permute(values, heads)
        if architecture == "llama" and ".attn_k." in ours:
            values = permute(values, config.get("num_key_value_heads", heads))
        plain = values
        if architecture.startswith("gemma") and ours.endswith("norm.weight"):
            values = values + np.float32(1)
        data, read_back = store(values, kind)
        stored.append((ours, values.shape, kind, data))
        if kind == "F32":
            read_back = plain
        if architecture == "llama" and (".attn_q." in ours or ".attn_k." in ours):
            # Undone by the inverse of the permutation, row by row.
            rows_of = permute(np.arange(len(values)), len(values) // head_dim)
            undone = np.empty_like(read_back)
            undone[rows_of] = read_back
            read_back = undone
        exact[name] = read_back
    arguments.out.write_bytes(container(rows, stored))

    if arguments.dequantized is not None:
        arguments.dequantized.mkdir(parents=True, exist_ok=True)
        write_safetensors(arguments.dequantized / "model.safetensors", exact)
        config["torch_dtype"] = "float32"
        (arguments.dequantized / "config.json").write_text(json.dumps(config, indent=1))
        if arguments.tokenizer is not None:
            shutil.copy(arguments.tokenizer, arguments.dequantized)


if __name__ == "__main__":
    main()
