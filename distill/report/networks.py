"""The networks of a run brought back to life: how alike they see windows, and how long one window takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from distill.finished import trained_network
from distill.losses.similarity import similarity_map
from distill.prediction import repeatable
from distill.report.study import Study
from distill.rows import Row
from distill.teacher_names import RIDGES
from distill.views import View
from tsimage.errors import UserError

ROUNDS = 40
"""How often each network is timed, in turn with the others."""


def network_of(study: Study, row: Row) -> tuple[nn.Module, View] | None:
    """Return the network of a row with its first seed, on the CPU, and what it looks at; of several folds the first.

    None for random convolutions with a ridge, where the windows could not be had, and where its training is gone.

    Raises
    ------
    UserError
        If its weights are damaged.
    """
    if study.plan is None or row.network in RIDGES:
        return None
    seed = min(row.seeds)
    folder = study.record.trainings.get(row.seeds[seed]["trainings"][0]["weights_sha256"])
    for plan, training in study.plan.tasks():
        if folder is not None and row.columns[seed] == f"{training.role} {training.model} seed {training.seed}":
            samples = plan.samples(training.split.train[:2])
            model, _ = trained_network(plan, replace(training, folder=folder), samples)
            return model.to("cpu"), training.view
    return None


def similarities(networks: Mapping[str, tuple[nn.Module, View]], values: Tensor) -> dict[str, np.ndarray]:
    """Return how alike windows are to each network, by the feature maps of its last stage, as `distill.losses.sp` compares.

    Parameters
    ----------
    networks : mapping of str to (Module, View)
    values : Tensor, shape (window, channel, time)

    Returns
    -------
    dict of str to ndarray, shape (window, window)
        Each row of norm 1; networks without feature maps are left out.
    """
    made = {}
    with repeatable(), torch.no_grad():
        for name, (model, view) in networks.items():
            maps = model.trace(view.of(values)).maps  # type: ignore[operator]
            if maps:
                made[name] = similarity_map(maps[-1]).numpy()
    return made


def latencies(networks: Mapping[str, tuple[nn.Module, View]], window: Tensor, rounds: int = ROUNDS) -> pd.DataFrame:
    """Time one window through each network, with what paints its images, in one thread, interleaved.

    Parameters
    ----------
    networks : mapping of str to (Module, View)
    window : Tensor, shape (1, channel, time)
    rounds : int

    Returns
    -------
    DataFrame
        In milliseconds, indexed by name: `median`, and the quartiles `low` and `high`.
    """

    def run(model: nn.Module, view: View) -> Callable[[], Tensor]:
        return lambda: model(view.of(window))

    calls = {name: run(*made) for name, made in networks.items()}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for turn in range(rounds + 3):  # the first three warm up
                for name, call in calls.items():
                    began = time.perf_counter()
                    call()
                    if turn >= 3:
                        taken[name].append(1000 * (time.perf_counter() - began))
    finally:
        torch.set_num_threads(threads)
    rows = {name: np.percentile(times, [50, 25, 75]) for name, times in taken.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["median", "low", "high"])


def networks_of(study: Study) -> tuple[dict[str, tuple[nn.Module, View]], list[str]]:
    """Return the networks of the run in detail by short names, and a sentence for each that could not be had."""
    made, lacking = {}, []
    for name, row in study.rows.items():
        try:
            found = network_of(study, row)
        except UserError as error:
            lacking.append(f"{name}: {error}.")
            continue
        if found is not None:
            made[name] = found
        elif study.plan is not None and row.network not in RIDGES:
            lacking.append(f"{name}: its weights are no longer there.")
    return made, lacking
