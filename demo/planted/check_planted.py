#!/usr/bin/python3
"""Verify that attention is what the planted checkpoint's heads were built to do.

    check_planted.py --attention attention.npy --tokens ids.npy

for the arrays of `toplens capture` ([layer, head, query, key] and [T], BOS first);
make_planted.py --check does the same with a float64 forward pass of its own.
"""

import argparse

import numpy as np

import make_planted as planted

MASS = 0.9  # attention that a planted head must put on its targets


def targets(kind, ids):
    """[query, key], true where the head should look; BOS where nothing else qualifies."""
    length = len(ids)
    query, key = np.indices((length, length))
    same = ids[:, None] == ids[None, :]
    if kind == "sink":
        return key == 0
    if kind == "previous":
        return key == query - 1
    if kind == "match":
        found = same & (key < query)
    else:  # induction: the token before the attended one is the current token
        found = np.zeros_like(same)
        found[:, 1:] = same[:, :-1] & (key[:, 1:] <= query[:, 1:])
    found[:, 0] = ~found[:, 1:].any(axis=1)
    return found


def check_heads(attention, ids):
    """Asserts every planted head and returns [(layer, head, kind, worst, mean)] over queries >= 1."""
    ids = np.asarray(ids)
    assert ids[0] == planted.BOS, "the first token must be BOS"
    rows = []
    for head in planted.planted_heads():
        layer, index, kind = head["layer"], head["head"], head["kind"]
        weights = attention[layer, index]
        length = len(ids)
        if kind == "uniform":
            # Evenness: entropy over its maximum.
            visible = np.log(np.arange(2, length + 1))
            logs = np.log(np.where(weights > 0, weights, 1.0))
            score = -(weights * logs).sum(axis=1)[1:] / visible
        else:
            score = (weights * targets(kind, ids)).sum(axis=1)[1:]
        rows.append((layer, index, kind, score.min(), score.mean()))
    for layer, index, kind, worst, mean in rows:
        print(f"layer {layer} head {index}  {kind:<9}  worst {worst:.4f}  mean {mean:.4f}")
    for layer, index, kind, worst, _ in rows:
        assert worst > MASS, f"layer {layer} head {index} ({kind}): {worst:.4f}, expected > {MASS}"
    return rows


def forward(tensors, ids):
    """Float64 LLaMA forward pass: (logits [T, vocab], attention [layer, head, T, T], values)."""
    tensors = {name: t.astype(np.float64) for name, t in tensors.items()}
    length = len(ids)
    angles = np.outer(np.arange(length), planted.FREQUENCY)
    cosine, sine = np.cos(angles), np.sin(angles)

    def norm(x, weight):
        return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + planted.NORM_EPSILON) * weight

    def rotate(x):  # [T, heads, head_dim], rotate-half
        first, second = x[..., : planted.HALF], x[..., planted.HALF :]
        c, s = cosine[:, None], sine[:, None]
        return np.concatenate([first * c - second * s, second * c + first * s], axis=-1)

    x = tensors["model.embed_tokens.weight"][ids]
    causal = np.tril(np.ones((length, length), dtype=bool))
    attention, values = [], []
    for layer in range(len(planted.LAYERS)):
        part = lambda name: tensors[f"model.layers.{layer}.{name}.weight"]
        h = norm(x, part("input_layernorm"))
        project = lambda name, heads: (h @ part(f"self_attn.{name}").T).reshape(length, heads, -1)
        q = rotate(project("q_proj", planted.QUERY_HEADS))
        group = planted.QUERY_HEADS // planted.KV_HEADS
        k = np.repeat(rotate(project("k_proj", planted.KV_HEADS)), group, axis=1)
        v = project("v_proj", planted.KV_HEADS)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(planted.HEAD_DIM)
        scores = np.where(causal, scores, -np.inf)
        a = np.exp(scores - scores.max(axis=-1, keepdims=True))
        a /= a.sum(axis=-1, keepdims=True)
        out = np.einsum("hqk,khd->qhd", a, np.repeat(v, group, axis=1))
        x = x + out.reshape(length, -1) @ part("self_attn.o_proj").T
        h = norm(x, part("post_attention_layernorm"))
        gate = h @ part("mlp.gate_proj").T
        up = h @ part("mlp.up_proj").T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ part("mlp.down_proj").T
        attention.append(a)
        values.append(v)
    logits = norm(x, tensors["model.norm.weight"]) @ tensors["lm_head.weight"].T
    return logits, np.array(attention), np.array(values)


def nll_nats_per_token(logits, ids):
    top = logits.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return (log_sum[:-1] - logits[np.arange(len(ids) - 1), ids[1:]]).mean()


def check_forward(tensors, token_ids):
    """The heads on the longest context, from three places in the text."""
    window = planted.MAX_POSITIONS - 1
    for start in (0, len(token_ids) // 3, 2 * len(token_ids) // 3):
        ids = np.concatenate([[planted.BOS], token_ids[start : start + window]])
        logits, attention, values = forward(tensors, ids)
        print(f"{len(ids)} tokens from token {start} on:")
        check_heads(attention, ids)
        norms = np.linalg.norm(values, axis=-1)  # [layer, T, kv head]
        compression = norms[:, 0] / norms[:, 1:].mean(axis=1)
        print(f"sink value norm over the mean: {compression.min():.3f} to {compression.max():.3f}")
        assert compression.max() < 0.5, "the sink's values must be compressed"
        unigram = logits.copy()
        unigram[:] = tensors["lm_head.weight"][:, planted.CONSTANT] * planted.CONSTANT_SIZE
        print(
            f"NLL {nll_nats_per_token(logits, ids):.4f} nats per token, "
            f"{nll_nats_per_token(unigram, ids):.4f} from token frequencies alone"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--attention", required=True, help="[layer, head, query, key] .npy")
    parser.add_argument("--tokens", required=True, help="[T] .npy, BOS first")
    arguments = parser.parse_args()
    check_heads(np.load(arguments.attention).astype(np.float64), np.load(arguments.tokens).ravel())


if __name__ == "__main__":
    main()
