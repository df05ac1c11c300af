"""Hugging Face checkpoint directories: safetensors, config.json, tokenizer files."""

import json
import os
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from torch import Tensor

from llama import BOS, EOS, UNKNOWN, Llama, LlamaConfig

DTYPES = {"BF16": torch.bfloat16, "F32": torch.float32}


def write_aside(path: Path, content: bytes) -> None:
    """The file appears whole or not at all."""
    aside = path.with_name(path.name + ".partial")
    with open(aside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """All tensors as bf16, rounded to nearest."""
    header: dict = {"__metadata__": {"format": "pt"}}
    body = bytearray()
    for name in sorted(tensors):
        data = tensors[name].detach().to(torch.bfloat16).contiguous().view(torch.int16).numpy()
        content = data.astype("<i2").tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": list(tensors[name].shape),
            "data_offsets": [len(body), len(body) + len(content)],
        }
        body += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_aside(path, len(text).to_bytes(8, "little") + text + bytes(body))


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors as f32."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = DTYPES[entry["dtype"]]
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        raw = np.frombuffer(content[start:end], dtype=np.uint8).copy()
        tensors[name] = torch.from_numpy(raw).view(dtype).reshape(entry["shape"]).float()
    return tensors


def write_json(path: Path, value: dict) -> None:
    write_aside(path, (json.dumps(value, indent=2) + "\n").encode())


def export(folder: Path, config: LlamaConfig, tensors: dict[str, Tensor], tokenizer: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_aside(folder / "tokenizer.model", tokenizer)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "LlamaTokenizer",
            "add_bos_token": True,
            "add_eos_token": False,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": None,
            "legacy": True,
            "clean_up_tokenization_spaces": False,
            "model_max_length": config.max_position_embeddings,
        },
    )
    write_json(folder / "config.json", config.to_hugging_face())
    write_safetensors(folder / "model.safetensors", tensors)


def load(folder: Path) -> tuple[Llama, sentencepiece.SentencePieceProcessor]:
    config = LlamaConfig.from_hugging_face(json.loads((folder / "config.json").read_text()))
    model = Llama(config)
    tensors = read_safetensors(folder / "model.safetensors")
    if tensors.keys() != model.weights.keys():
        raise SystemExit(f"{folder}: unexpected tensors {tensors.keys() ^ model.weights.keys()}")
    with torch.no_grad():
        for name, weight in model.weights.items():
            weight.copy_(tensors[name])
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    found = (tokenizer.unk_id(), tokenizer.bos_id(), tokenizer.eos_id())
    if found != (UNKNOWN, BOS, EOS):
        raise SystemExit(f"{folder}: unk, bos, eos are {found}, expected {(UNKNOWN, BOS, EOS)}")
    return model, tokenizer
