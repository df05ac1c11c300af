"""Muon: momentum, orthogonalised by a Newton-Schulz iteration, for the matrices inside the layers
(https://kellerjordan.github.io/posts/muon/). AdamW does the embedding and the gains."""

import torch
from torch import Tensor


def orthogonalise(updates: Tensor, steps: int = 5) -> Tensor:
    """updates [n, rows, columns] -> the same with singular values near 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = updates.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.float().flatten(1).norm(dim=1).view(-1, 1, 1).bfloat16() + 1e-7)
    for _ in range(steps):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = a * x + torch.bmm(b * gram + c * torch.bmm(gram, gram), x)
    return (x.transpose(1, 2) if tall else x).float()


class Muon:
    """Matrices of one shape are stacked, so that the iteration is a few large products."""

    def __init__(self, parameters: list[Tensor], momentum: float, weight_decay: float):
        self.momentum, self.weight_decay = momentum, weight_decay
        self.groups: dict[tuple, list[Tensor]] = {}
        for parameter in parameters:
            self.groups.setdefault(tuple(parameter.shape), []).append(parameter)
        self.buffers = {
            shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()
        }

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        for shape, group in self.groups.items():
            gradient = torch.stack([parameter.grad for parameter in group])
            buffer = self.buffers[shape]
            buffer.mul_(self.momentum).add_(gradient, alpha=1 - self.momentum)
            nesterov = gradient.lerp_(buffer, self.momentum)
            update = orthogonalise(nesterov) * max(1.0, shape[0] / shape[1]) ** 0.5
            for parameter, change in zip(group, update):
                parameter.mul_(1 - learning_rate * self.weight_decay)
                parameter.add_(change, alpha=-learning_rate)
