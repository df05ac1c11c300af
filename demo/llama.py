"""The demo model: a small LLaMA, written out in torch for training and for scoring.

Parameters carry Hugging Face's names and shapes, so a checkpoint is the state itself. Matrices are
cast to `compute_dtype` where they are used; the residual stream, the norms and the loss stay f32.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BOS, EOS, UNKNOWN = 1, 2, 0


@dataclass(frozen=True)
class LlamaConfig:
    vocab_size: int = 2048
    hidden_size: int = 256
    intermediate_size: int = 640
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    max_position_embeddings: int = 512
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    def to_hugging_face(self) -> dict:
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            **asdict(self),
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
            "initializer_range": 0.02,
            "torch_dtype": "bfloat16",
            "use_cache": True,
        }

    @staticmethod
    def from_hugging_face(config: dict) -> "LlamaConfig":
        return LlamaConfig(**{name: config[name] for name in asdict(LlamaConfig())})


class MaskPool:
    """Dropout masks as slices at random places of one buffer: torch's own CPU generator is serial
    and would take a fifth of the step."""

    def __init__(self, rate: float, size: int = 1 << 24, seed: int = 0):
        self.rate = rate
        self.generator = torch.Generator().manual_seed(seed)
        uniform = torch.randint(0, 256, (size,), dtype=torch.uint8, generator=self.generator)
        dropped = round(rate * 256)
        self.buffer = (uniform >= dropped).to(torch.bfloat16) * (256 / (256 - dropped))

    def apply(self, x: Tensor) -> Tensor:
        if self.rate == 0:
            return x
        size, room = x.numel(), self.buffer.numel() - x.numel()
        start = int(torch.randint(0, room, (1,), generator=self.generator))
        return x * self.buffer[start : start + size].view(x.shape).to(x.dtype)


class RmsNorm(torch.autograd.Function):
    """x / rms(x) * gain for f32 x, result in the dtype asked for."""

    @staticmethod
    def forward(ctx, x: Tensor, gain: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = (norm.square() / x.shape[-1] + eps).rsqrt()
        ctx.save_for_backward(x, gain, scale)
        return (x * scale).mul_(gain).to(dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, gain, scale = ctx.saved_tensors
        normed = x * scale
        grad = grad.float()
        product = grad * normed
        grad_gain = product.reshape(-1, x.shape[-1]).sum(0)
        mean = (product @ gain).unsqueeze(-1) / x.shape[-1]
        grad_x = (grad * gain).addcmul_(normed, mean, value=-1).mul_(scale)
        return grad_x, grad_gain, None, None


class Rope(torch.autograd.Function):
    """Hugging Face's rotate-half convention: x cos + (-x2, x1) sin, x [..., T, head_dim]."""

    @staticmethod
    def forward(ctx, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)

    @staticmethod
    def backward(ctx, grad: Tensor):
        cos, sin = ctx.saved_tensors
        first, second = grad.chunk(2, dim=-1)
        back = torch.cat((first * cos + second * sin, second * cos - first * sin), dim=-1)
        return back, None, None


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up. torch 1.13's own silu is scalar code for bf16, four times slower."""

    @staticmethod
    def forward(ctx, gate: Tensor, up: Tensor) -> Tensor:
        sigmoid = gate.sigmoid()
        ctx.save_for_backward(gate, up, sigmoid)
        return sigmoid.mul(gate).mul_(up)

    @staticmethod
    def backward(ctx, grad: Tensor):
        gate, up, sigmoid = ctx.saved_tensors
        silu = gate * sigmoid
        grad_up = grad * silu
        # d silu / d gate = sigmoid + silu (1 - sigmoid)
        slope = silu.addcmul_(silu, sigmoid, value=-1).add_(sigmoid)
        return slope.mul_(up).mul_(grad), grad_up


def rope_tables(config: LlamaConfig, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    half = config.head_dim // 2
    frequency = config.rope_theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
    return angle.cos().to(dtype), angle.sin().to(dtype)


def causal_attention(q: Tensor, k: Tensor, v: Tensor, block: int) -> Tensor:
    """q [B, kv, group, T, d] (already scaled), k and v [B, kv, T, d]. Blocks of queries see only
    the keys up to their own end, which saves up to half of the scores."""
    batch, kv_heads, group, length, dim = q.shape
    keys = k.reshape(batch * kv_heads, length, dim)
    values = v.reshape(batch * kv_heads, length, dim)
    outputs = []
    for start in range(0, length, block):
        end = min(start + block, length)
        rows = end - start
        queries = q[:, :, :, start:end].reshape(batch * kv_heads, group * rows, dim)
        scores = torch.bmm(queries, keys[:, :end].transpose(1, 2))
        future = torch.full((rows, rows), float("-inf"), dtype=scores.dtype).triu_(1)
        scores.view(batch * kv_heads, group, rows, end)[..., start:] += future
        weights = scores.softmax(dim=-1)
        outputs.append(torch.bmm(weights, values[:, :end]).view(batch, kv_heads, group, rows, dim))
    return torch.cat(outputs, dim=3)


class Llama(nn.Module):
    def __init__(self, config: LlamaConfig, seed: int = 0):
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.attention_block = 128
        d, kv = config.hidden_size, config.num_key_value_heads * config.head_dim
        shapes = {"model.embed_tokens.weight": (config.vocab_size, d), "model.norm.weight": (d,)}
        for layer in range(config.num_hidden_layers):
            prefix = f"model.layers.{layer}."
            shapes |= {
                prefix + "input_layernorm.weight": (d,),
                prefix + "self_attn.q_proj.weight": (d, d),
                prefix + "self_attn.k_proj.weight": (kv, d),
                prefix + "self_attn.v_proj.weight": (kv, d),
                prefix + "self_attn.o_proj.weight": (d, d),
                prefix + "post_attention_layernorm.weight": (d,),
                prefix + "mlp.gate_proj.weight": (config.intermediate_size, d),
                prefix + "mlp.up_proj.weight": (config.intermediate_size, d),
                prefix + "mlp.down_proj.weight": (d, config.intermediate_size),
            }
        generator = torch.Generator().manual_seed(seed)
        self.weights: dict[str, nn.Parameter] = {}
        for name, shape in shapes.items():
            if len(shape) == 1:
                value = torch.ones(shape)
            else:
                spread = 0.02 if "embed" in name else shape[1] ** -0.5
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    spread /= (2 * config.num_hidden_layers) ** 0.5
                value = torch.randn(shape, generator=generator) * spread
            self.weights[name] = nn.Parameter(value)
            self.register_parameter(name.replace(".", "_"), self.weights[name])

    def num_parameters(self) -> int:
        return sum(weight.numel() for weight in self.weights.values())

    def forward(self, ids: Tensor, dropout: MaskPool | None = None) -> Tensor:
        """ids [B, T] -> logits [B, T, vocab], f32."""
        config, dtype = self.config, self.compute_dtype
        batch, length = ids.shape
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
        dim = config.head_dim
        drop = dropout.apply if dropout is not None else (lambda x: x)
        cos, sin = rope_tables(config, length, dtype)
        scale = dim**-0.5

        def linear(x: Tensor, name: str) -> Tensor:
            return F.linear(x, self.weights[name].to(dtype))

        def norm(x: Tensor, name: str) -> Tensor:
            return RmsNorm.apply(x, self.weights[name], config.rms_norm_eps, dtype)

        x = drop(F.embedding(ids, self.weights["model.embed_tokens.weight"]))
        for layer in range(config.num_hidden_layers):
            prefix = f"model.layers.{layer}."
            h = norm(x, prefix + "input_layernorm.weight")
            q = linear(h, prefix + "self_attn.q_proj.weight").view(batch, length, heads, dim)
            k = linear(h, prefix + "self_attn.k_proj.weight").view(batch, length, kv_heads, dim)
            v = linear(h, prefix + "self_attn.v_proj.weight").view(batch, length, kv_heads, dim)
            q = Rope.apply(q.transpose(1, 2), cos * scale, sin * scale)
            k = Rope.apply(k.transpose(1, 2), cos, sin)
            q = q.view(batch, kv_heads, heads // kv_heads, length, dim)
            mixed = causal_attention(q, k, v.transpose(1, 2), self.attention_block)
            mixed = mixed.view(batch, heads, length, dim).transpose(1, 2).reshape(batch, length, -1)
            x = x + drop(linear(mixed, prefix + "self_attn.o_proj.weight"))
            h = norm(x, prefix + "post_attention_layernorm.weight")
            gate = linear(h, prefix + "mlp.gate_proj.weight")
            up = linear(h, prefix + "mlp.up_proj.weight")
            x = x + drop(linear(drop(SwiGlu.apply(gate, up)), prefix + "mlp.down_proj.weight"))
        h = norm(x, "model.norm.weight")
        return linear(h, "model.embed_tokens.weight").float()


def windows(ids: list[int], context_length: int) -> list[list[int]]:
    """Non-overlapping windows of BOS and context_length - 1 tokens, the last one short."""
    step = context_length - 1
    return [[BOS] + ids[start : start + step] for start in range(0, len(ids), step)]


@torch.no_grad()
def total_nll(model: Llama, ids: list[int], context_length: int) -> float:
    """Sum of -log p over every token that is not BOS, in nats; windows of `windows`."""
    total = 0.0
    full = windows(ids, context_length)
    short = [full.pop()] if full and len(full[-1]) < context_length else []
    batches = [full[start : start + 8] for start in range(0, len(full), 8)] + [[w] for w in short]
    for batch in batches:
        tokens = torch.tensor(batch)
        logits = model(tokens)[:, :-1]
        log_p = logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])
        total -= log_p.double().sum().item()
    return total
