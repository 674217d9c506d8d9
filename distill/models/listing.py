"""How large the networks are: parameters, and multiply-accumulates of one window."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from distill.models import MODELS, build_model
from distill.rocket.hydra import Hydra
from distill.rocket.minirocket import KERNELS, TAPS, MiniRocket, dilations_for
from distill.teacher_names import RIDGES
from tsimage.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table


MOST = {"channels": 10_000, "classes": 1_000_000, "samples": 100_000, "image-size": 10_000}
"""The largest inputs and numbers of classes that networks are listed for."""


def count_macs(model: nn.Module, inputs: torch.Tensor) -> int:
    """Count the multiply-accumulates of one pass: those of convolutions, linear layers and attention.

    Normalisation, activations, pooling and biases are left out, as is usual.

    Parameters
    ----------
    model : Module
        Is left in evaluation mode.
    inputs : Tensor, shape (window, channel, ...)
        On the device of the model; on "meta" nothing is computed.

    Returns
    -------
    int

    Examples
    --------
    >>> count_macs(nn.Conv1d(3, 16, 3, padding=1), torch.zeros(1, 3, 100))  # 100 positions x 3 wide x 3 x 16
    14400
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(inputs)
    return counter.get_total_flops() // 2


@cache
def size_of(name: str, *, dims: int, in_channels: int, classes: int, size: int) -> tuple[int, int]:
    """Return the parameters of a network and the multiply-accumulates of one window; no weight is drawn.

    Parameters
    ----------
    name : str
        Of the registry, or a random-convolution teacher.
    dims : int
        1 for signals, 2 for images.
    in_channels, classes : int
    size : int
        Samples of a window, or the side of an image in pixels.

    Examples
    --------
    >>> size_of("wrn16-1", dims=1, in_channels=3, classes=14, size=500)
    (61374, 10056896)
    """
    for row in _ridges(in_channels, classes, size) if name in RIDGES else []:
        if row["name"] == name:
            return row["parameters"], row["macs"]
    with torch.device("meta"):
        net = build_model(name, dims=dims, in_channels=in_channels, classes=classes, size=size)
        inputs = torch.empty(1, in_channels, *(size,) * dims)
    return sum(p.numel() for p in net.parameters()), count_macs(net, inputs)


def model_table(in_channels: int = 3, classes: int = 6, samples: int = 128, image_size: int = 32) -> pd.DataFrame:
    """List the networks of the field with their sizes; no weight is drawn and nothing is computed.

    Parameters
    ----------
    in_channels, classes : int
    samples : int
        Of a window, for networks on signals.
    image_size : int
        Side in pixels, for networks on images.

    Returns
    -------
    DataFrame
        One row for each network and dimension: `name`, `dims`, `parameters`, `macs` of one window, `paper` (its arXiv
        id), `summary`.

    Raises
    ------
    UserError
        For a number below 1 or above that of `MOST`.

    Examples
    --------
    >>> frame = model_table(classes=14)
    >>> frame[frame["name"] == "ds16-1"][["dims", "parameters"]].values.tolist()
    [[1, 24686], [2, 27374]]
    """
    given = {"channels": in_channels, "classes": classes, "samples": samples, "image-size": image_size}
    for what, number in given.items():
        if not 1 <= number <= MOST[what]:
            raise UserError(f"{what} {number} is not allowed: give a number from 1 to {MOST[what]:,}")
    rows = []
    for model in MODELS.values():
        for name in model.listed:
            for dims in model.dims:
                size = samples if dims == 1 else image_size
                parameters, macs = size_of(name, dims=dims, in_channels=in_channels, classes=classes, size=size)
                rows.append(
                    {
                        "name": name,
                        "dims": dims,
                        "parameters": parameters,
                        "macs": macs,
                        "paper": model.paper_of(dims),
                        "summary": model.summary,
                    }
                )
    return pd.DataFrame([*rows, *_ridges(in_channels, classes, samples)])


def _ridges(in_channels: int, classes: int, samples: int) -> list[dict[str, Any]]:
    """Return the rows of random convolutions with a ridge: the ridge has the parameters, the kernels most of the MACs."""
    if samples < TAPS:
        return []
    dilations, biases = dilations_for(samples, MiniRocket().n_features)
    hydra = Hydra().fit(np.zeros((1, in_channels, samples), np.float32))
    sizes = {
        "minirocket": (len(KERNELS) * int(biases.sum()), TAPS * len(KERNELS) * len(dilations) * samples),
        "hydra": (2 * hydra.weights.shape[:3].numel(), hydra.weights.numel() * samples),
    }
    about = {
        "minirocket": ("2012.08791", "random convolutions and a ridge: the share above a bias; as a teacher only"),
        "hydra": ("2203.13652", "competing random convolutions and a ridge; as a teacher only"),
    }
    return [
        {
            "name": name,
            "dims": 1,
            "parameters": (features + 1) * classes,
            "macs": macs + features * classes,
            "paper": about[name][0],
            "summary": about[name][1],
        }
        for name, (features, macs) in sizes.items()
    ]


def rich_table(frame: pd.DataFrame) -> Table:
    """Lay the rows of `model_table` out for a terminal, MACs in millions."""
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("network", "dims", "parameters", "MACs, M", "arXiv", "summary"):
        number = heading in ("dims", "parameters", "MACs, M")
        grid.add_column(heading, justify="right" if number else "left", no_wrap=heading != "summary")
    for row in frame.itertuples():
        macs = f"{row.macs / 1e6:,.2f}"  # type: ignore[operator]
        grid.add_row(row.name, str(row.dims), f"{row.parameters:,}", macs, row.paper, row.summary)  # type: ignore[arg-type]
    return grid


def plain_table(frame: pd.DataFrame) -> str:
    """Write the same table as text, one line for each row, however long."""
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=10_000, color_system=None).print(rich_table(frame))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")
