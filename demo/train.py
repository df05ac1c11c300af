#!/usr/bin/python3
"""Train the demo model on the public-domain corpora and export it as a Hugging Face checkpoint.

    demo/train.py --corpora DIR --out demo/model --seconds 5400

The schedule follows the time spent in steps, so the learning rate reaches zero when the time is
up, whatever the machine's speed; a pause does not count, but --deadline holds in any case. At any
stop (the end, SIGTERM, SIGINT) the averaged weights are exported, and every few minutes before;
--resume goes on from the state file.
"""

import argparse
import json
import math
import os
import signal
import sys
import time
from pathlib import Path

# glibc must keep freed memory: first touch of fresh pages costs more than the arithmetic. OpenMP's
# threads must sleep at barriers: beside other work on the machine spinning is ten times slower.
# All are read at process start, hence the exec.
ENVIRONMENT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "34359738368",
    "OMP_WAIT_POLICY": "passive",
    "OPENBLAS_NUM_THREADS": "1",
}
if __name__ == "__main__" and any(os.environ.get(k) != v for k, v in ENVIRONMENT.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})

import torch
import torch.nn.functional as F

from checkpoint import export, write_aside, write_json
from llama import BOS, Llama, LlamaConfig, MaskPool, total_nll
from muon import Muon
from prepare_corpus import split_corpora
from tokenizer import load_tokenizer, require_round_trip, train_tokenizer

# (up to this progress, window length): short windows first, attention's share of a step grows
# with the length.
WINDOW_LENGTHS = [(0.45, 128), (0.75, 256), (1.0, 512)]
AVERAGE_STEPS = 60  # horizon of the exponential average of the weights


class Clock:
    """Progress from 0 to 1 by time spent in steps. A step is charged at most ten times the median
    of the last ones, so a stopped process loses nothing; what is left before the deadline caps the
    time that remains."""

    def __init__(self, seconds: float, deadline: float | None):
        self.seconds, self.deadline = seconds, deadline
        self.active = 0.0
        self.progress = 0.0
        self.recent: list[float] = []

    def charge(self, elapsed: float) -> None:
        if self.recent:
            elapsed = min(elapsed, 10 * sorted(self.recent)[len(self.recent) // 2])
        self.recent = (self.recent + [elapsed])[-20:]
        left = self.seconds - self.active
        if self.deadline is not None:
            left = min(left, self.deadline - time.time() + elapsed)
        self.active += elapsed
        done = 1.0 if left <= elapsed else elapsed / left
        self.progress += (1 - self.progress) * done

    @property
    def finished(self) -> bool:
        return self.progress >= 1.0


class Sampler:
    """Windows of BOS and the tokens from a random phase on, every token once an epoch."""

    def __init__(self, passages: list[str], tokenizer, seed: int):
        self.stream = torch.tensor([i for text in passages for i in tokenizer.encode(text)])
        self.generator = torch.Generator().manual_seed(seed)
        self.starts: list[int] = []
        self.length = 0
        self.tokens = 0

    def batch(self, tokens_per_step: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs [B, length] (BOS first) and their targets."""
        if length != self.length:
            self.length, self.starts = length, []
        rows = []
        for _ in range(tokens_per_step // length):
            if not self.starts:
                phase = int(torch.randint(0, length, (1,), generator=self.generator))
                starts = torch.arange(phase, len(self.stream) - length, length)
                order = torch.randperm(len(starts), generator=self.generator)
                self.starts = starts[order].tolist()
            start = self.starts.pop()
            rows.append(self.stream[start : start + length])
        targets = torch.stack(rows)
        self.tokens += targets.numel()
        return torch.cat((torch.full((len(rows), 1), BOS), targets[:, :-1]), dim=1), targets


def learning_rate_factor(progress: float, step: int) -> float:
    """Linear warm-up over 40 steps, constant, then linear to zero from 40% of the time on."""
    return min(1.0, (step + 1) / 40) * min(1.0, (1.0 - progress) / 0.6)


class Trainer:
    def __init__(self, options: argparse.Namespace):
        self.options = options
        split = split_corpora(options.corpora)
        self.split = split
        self.serialized = train_tokenizer(split.train, options.vocab_size)
        self.tokenizer = load_tokenizer(self.serialized)
        require_round_trip(self.tokenizer, split.held_out)
        self.validation = [i for text in split.validation for i in self.tokenizer.encode(text)]
        self.validation_bytes = sum(len(text.encode()) for text in split.validation)
        self.config = LlamaConfig(
            vocab_size=options.vocab_size,
            intermediate_size=options.intermediate_size,
            num_hidden_layers=options.layers,
        )
        self.model = Llama(self.config, seed=options.seed)
        self.model.compute_dtype = torch.bfloat16
        self.sampler = Sampler(split.train, self.tokenizer, options.seed)
        self.clock = Clock(options.seconds, options.deadline)
        self.step = 0
        self.curve: list[dict] = []
        inside = [n for n, w in self.model.weights.items() if w.dim() == 2 and "embed" not in n]
        outside = [w for n, w in self.model.weights.items() if n not in inside]
        self.muon = Muon(
            [self.model.weights[name] for name in inside], 0.95, options.muon_weight_decay
        )
        self.adam = torch.optim.AdamW(outside, betas=(0.9, 0.98), weight_decay=0.0)
        self.average = {n: w.detach().clone() for n, w in self.model.weights.items()}
        self.dropout = MaskPool(options.dropout, seed=options.seed)

    def window_length(self) -> int:
        progress = min(1.0, self.clock.progress)
        return next(length for end, length in WINDOW_LENGTHS if progress <= end)

    def train_step(self) -> float:
        started = time.monotonic()
        factor = learning_rate_factor(self.clock.progress, self.step)
        inputs, targets = self.sampler.batch(self.options.tokens_per_step, self.window_length())
        loss = 0.0
        parts = max(1, inputs.numel() // self.options.tokens_per_pass)
        for part, goal in zip(inputs.chunk(parts), targets.chunk(parts)):
            logits = self.model(part, self.dropout)
            nll = F.cross_entropy(logits.flatten(0, 1), goal.flatten()) * (len(part) / len(inputs))
            nll.backward()
            loss += nll.item()
        if not math.isfinite(loss):
            raise SystemExit(f"the loss is {loss} at step {self.step}")
        self.muon.step(self.options.muon_learning_rate * factor)
        for group in self.adam.param_groups:
            group["lr"] = self.options.adam_learning_rate * factor
        self.adam.step()
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        keep = min(1 - 1 / AVERAGE_STEPS, self.step / (self.step + 10))
        with torch.no_grad():
            for name, weight in self.model.weights.items():
                self.average[name].lerp_(weight, 1 - keep)
        self.clock.charge(time.monotonic() - started)
        return loss

    def averaged_model(self) -> Llama:
        """The averaged weights as they are exported: rounded to bf16, computed in f32."""
        model = Llama(self.config)
        with torch.no_grad():
            for name, weight in model.weights.items():
                weight.copy_(self.average[name].bfloat16().float())
        return model

    def validation_bits_per_byte(self) -> float:
        nll = total_nll(
            self.averaged_model(), self.validation, self.config.max_position_embeddings
        )
        return nll / math.log(2) / self.validation_bytes

    def export(self) -> None:
        export(self.options.out, self.config, self.average, self.serialized)

    def write_record(self) -> dict:
        """training.json beside the model: settings, cost, loss curve, held-out figures."""
        held_out = require_round_trip(self.tokenizer, self.split.held_out)
        nll = total_nll(self.averaged_model(), held_out, self.config.max_position_embeddings)
        num_bytes = len(self.split.held_out.encode())
        options = {
            name: value
            for name, value in vars(self.options).items()
            if isinstance(value, (int, float)) and name not in ("resume", "deadline")
        }
        record = {
            "settings": options,
            "window_lengths": WINDOW_LENGTHS,
            "num_parameters": self.model.num_parameters(),
            "train_tokens": len(self.sampler.stream),
            "train_bytes": sum(len(text.encode()) for text in self.split.train),
            "steps": self.step,
            "tokens_seen": self.sampler.tokens,
            "seconds": round(self.clock.active, 1),
            "schedule_finished": self.clock.finished,
            "held_out": {
                "bytes": num_bytes,
                "num_targets": len(held_out),
                "nll_nats_per_token": nll / len(held_out),
                "bits_per_byte": nll / math.log(2) / num_bytes,
            },
            "curve": self.curve,
        }
        write_json(self.options.out / "training.json", record)
        return record

    def save_state(self, path: Path) -> None:
        aside = path.with_name(path.name + ".partial")
        state = {
            "weights": {n: w.detach() for n, w in self.model.weights.items()},
            "average": self.average,
            "muon": self.muon.buffers,
            "adam": self.adam.state_dict(),
            "clock": (self.clock.active, self.clock.progress),
            "sampler": (self.sampler.tokens, self.sampler.generator.get_state()),
            "step": self.step,
            "curve": self.curve,
            "tokenizer": self.serialized,
        }
        torch.save(state, aside)
        os.replace(aside, path)

    def load_state(self, path: Path) -> None:
        state = torch.load(path)
        if state["tokenizer"] != self.serialized:
            raise SystemExit(f"{path}: the state belongs to another tokenizer")
        with torch.no_grad():
            for name, weight in self.model.weights.items():
                weight.copy_(state["weights"][name])
        self.average, self.muon.buffers = state["average"], state["muon"]
        self.adam.load_state_dict(state["adam"])
        self.clock.active, progress = state["clock"]
        # More --seconds than before lengthen the schedule.
        self.clock.progress = min(progress, self.clock.active / self.clock.seconds)
        self.sampler.tokens, generator = state["sampler"]
        self.sampler.generator.set_state(generator)
        self.step, self.curve = state["step"], state["curve"]

    def report(self, loss: float, rate: float) -> None:
        validation = self.validation_bits_per_byte()
        self.curve.append(
            {
                "seconds": round(self.clock.active, 1),
                "tokens": self.sampler.tokens,
                "train_nll": round(loss, 4),
                "validation_bits_per_byte": round(validation, 4),
            }
        )
        epochs = self.sampler.tokens / len(self.sampler.stream)
        print(
            f"step {self.step} progress {self.clock.progress:.3f} window {self.window_length()} "
            f"tokens {self.sampler.tokens} epochs {epochs:.2f} train {loss:.4f} "
            f"validation {validation:.4f} bits/byte, {rate:.0f} tokens/s",
            flush=True,
        )

    def run(self) -> dict:
        stopping: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, frame: stopping.append(received))
        losses: list[float] = []
        reported = saved = time.monotonic()
        tokens_reported = self.sampler.tokens
        while not self.clock.finished and not stopping:
            losses.append(self.train_step())
            now = time.monotonic()
            if now - reported >= self.options.report_seconds or self.clock.finished:
                rate = (self.sampler.tokens - tokens_reported) / (now - reported)
                self.report(sum(losses) / len(losses), rate)
                losses, tokens_reported, reported = [], self.sampler.tokens, time.monotonic()
            if now - saved >= self.options.save_seconds:
                self.export()
                self.save_state(self.options.state)
                saved = time.monotonic()
        self.export()
        self.save_state(self.options.state)
        return self.write_record()


def parse_deadline(text: str) -> float:
    """HH:MM of today, or seconds since 1970."""
    if ":" not in text:
        return float(text)
    hour, minute = text.split(":")
    today = time.localtime()
    return time.mktime((*today[:3], int(hour), int(minute), 0, 0, 0, -1))


def parse_options(arguments: list[str]) -> argparse.Namespace:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--corpora", type=Path, required=True, help="folder with the four texts")
    parser.add_argument("--out", type=Path, default=here / "model", help="checkpoint directory")
    parser.add_argument("--state", type=Path, help="state for --resume, by default beside OUT")
    parser.add_argument("--resume", action="store_true", help="go on from the state file")
    parser.add_argument("--seconds", type=float, default=5400.0, help="time in training steps")
    parser.add_argument("--deadline", type=parse_deadline, help="end by HH:MM (or epoch seconds)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=2027)
    parser.add_argument("--vocab-size", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--intermediate-size", type=int, default=640)
    parser.add_argument("--tokens-per-step", type=int, default=8192)
    parser.add_argument("--tokens-per-pass", type=int, default=8192, help="bounds the memory")
    parser.add_argument("--muon-learning-rate", type=float, default=0.03)
    parser.add_argument("--muon-weight-decay", type=float, default=0.1)
    parser.add_argument("--adam-learning-rate", type=float, default=0.006)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--report-seconds", type=float, default=60.0)
    parser.add_argument("--save-seconds", type=float, default=240.0)
    options = parser.parse_args(arguments)
    if options.state is None:
        options.state = options.out.parent / "training_state.pt"
    return options


def main(arguments: list[str]) -> int:
    options = parse_options(arguments)
    torch.set_num_threads(options.threads)
    trainer = Trainer(options)
    num_tokens = len(trainer.sampler.stream)
    print(f"{trainer.model.num_parameters()} parameters, {num_tokens} training tokens", flush=True)
    if options.resume:
        trainer.load_state(options.state)
    record = trainer.run()
    figures = ("steps", "tokens_seen", "seconds", "held_out")
    print(json.dumps({name: record[name] for name in figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
