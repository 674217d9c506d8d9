"""The real student, trained alone, for whoever wants to see what a leak does to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from distill.assembly import network_of, schedule_of
from distill.batching import Samples
from distill.config import Run
from distill.device import choose_device, choose_precision
from distill.prediction import predict
from distill.progress import Progress
from distill.train import train
from distill.views import View
from tsimage.windows import Windows


def student_trainer(
    windows: Windows, run: Run, progress: Progress | None = None
) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return what trains the student of a run on windows and returns its accuracy on others; nothing is written.

    Parameters
    ----------
    windows : Windows
        Without missing samples.
    run : Run
        Its student, schedule, first seed, device and precision count.
    progress : Progress, optional
        Who is told.

    Returns
    -------
    callable
        Of positions to train on and to evaluate on.
    """
    told, device = progress or Progress(), choose_device(run.device)
    precision = choose_precision(run.precision, device)
    view = View(imager=None, units=windows.units)

    def samples(index: np.ndarray) -> Samples:
        return Samples(
            values=torch.from_numpy(windows.values[index]).to(device),
            labels=torch.from_numpy(windows.labels[index]).to(device),
            ids=windows.ids[index],
        )

    def accuracy(learnt: np.ndarray, other: np.ndarray) -> float:
        mine, theirs = samples(learnt), samples(other)
        seed, title = run.seeds[0], f"{run.student} on {len(learnt):,} windows"
        model = network_of(run.student, view, mine, classes=len(windows.class_names), seed=seed, is_teacher=False)
        told.begin(title, run.epochs)
        train(model, view, mine, schedule_of(run), seed=seed, precision=precision, on_epoch=told.epoch)
        predicted = predict(model, view, theirs.values).argmax(dim=1)
        right = float((predicted == theirs.labels.cpu()).float().mean())
        told.end(f"{title}: {100 * right:.1f} % of {len(other):,} others")
        return right

    return accuracy
