from dataclasses import dataclass

import pytest
import torch

from distill.trace import Trace

WINDOWS, CLASSES = 5, 4


@dataclass
class Batch:
    """What a student of signals, a teacher of images and a teacher of signals show of 5 windows of 4 classes."""

    student: Trace
    image: Trace
    signal: Trace
    labels: torch.Tensor
    per_teacher: torch.Tensor
    per_window: torch.Tensor

    @property
    def teachers(self):
        return [self.image, self.signal]


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(11)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def trace(features, *shapes):
        return Trace(
            logits=2 * random(WINDOWS, CLASSES),
            maps=tuple(random(WINDOWS, *shape) for shape in shapes),
            embedding=random(WINDOWS, features),
        )

    first = torch.rand(WINDOWS, generator=generator, dtype=torch.float64)
    return Batch(
        student=trace(6, (3, 12), (4, 6), (6, 3)),
        image=trace(8, (4, 8, 8), (6, 4, 4), (8, 2, 2)),
        signal=trace(6, (3, 16), (4, 8), (6, 4)),
        labels=torch.tensor([0, 3, 1, 1, 2]),
        per_teacher=torch.tensor([0.3, 0.7], dtype=torch.float64),
        per_window=torch.stack([first, 1 - first]),
    )
