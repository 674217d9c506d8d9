"""Networks by name: each has `forward(x)`, logits (window, class), and `trace(x)`, a `distill.trace.Trace`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tsimage.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

_SEES = {1: "the signal", 2: "images"}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A kind of network.

    Parameters
    ----------
    name : str
        Of the kind, as a sentence writes it: `wrnD-K`, where D and K are numbers, or just `patch`.
    listed : tuple of str
        The networks of this kind that tables and error messages list.
    summary : str
    paper : str
        Its arXiv id.
    dims : tuple of int
        1 where it looks at signals (window, channel, time), 2 where it looks at images (window, channel, height, width).
    build : callable
        `build(dims=, in_channels=, classes=, size=, **options)`, with the options that the name holds.
    numbered : str or None
        The letters before D-K in the names of a kind that has a depth D and a width K; they may end in `-gn`.
    sized : bool
        Whether it takes inputs of one size only, and so must know it when it is built.
    image_paper : str, optional
        Of the network on images, where that has a paper of its own.
    """

    name: str
    listed: tuple[str, ...]
    summary: str
    paper: str
    dims: tuple[int, ...]
    build: Callable[..., nn.Module]
    numbered: str | None = None
    sized: bool = False
    image_paper: str | None = None

    def paper_of(self, dims: int) -> str:
        """Return the arXiv id of the network on signals (1) or images (2).

        Examples
        --------
        >>> MODELS["patch"].paper_of(1), MODELS["patch"].paper_of(2)  # PatchTST, ViT
        ('2211.14730', '2010.11929')
        """
        return self.image_paper or self.paper if dims == 2 else self.paper

    def options(self, name: str) -> dict[str, Any] | None:
        """Return the options that a name of this kind holds; None for the name of another kind.

        Examples
        --------
        >>> MODELS["wrnD-K"].options("wrn28-3-gn")
        {'depth': 28, 'width': 3, 'norm': 'group'}
        >>> MODELS["patch"].options("patch"), MODELS["patch"].options("wrn28-3")
        ({}, None)
        """
        if self.numbered is None:
            return {} if name == self.name else None
        match = re.fullmatch(rf"{self.numbered}([0-9]+)-([0-9]+)(-gn)?", name)
        if match is None:
            return None
        return {"depth": int(match[1]), "width": int(match[2]), "norm": "group" if match[3] else "batch"}


def _wide(*, size: int | None, **options: Any) -> nn.Module:
    from distill.models.wrn import WideResNet

    return WideResNet(**options)


def _inception(*, dims: int, size: int | None, **options: Any) -> nn.Module:
    from distill.models.inception import Inception

    return Inception(**options)


def _patch(**options: Any) -> nn.Module:
    from distill.models.patch import PatchTransformer

    return PatchTransformer(**options)


def _resnet18(*, dims: int, size: int | None, **options: Any) -> nn.Module:
    from distill.models.staged import resnet18

    return resnet18(**options)


def _mobilenetv3(*, dims: int, size: int | None, **options: Any) -> nn.Module:
    from distill.models.staged import mobilenetv3

    return mobilenetv3(**options)


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="wrnD-K",
            listed=("wrn16-1", "wrn16-3", "wrn28-1", "wrn28-3"),
            summary="wide residual network of depth D and width K",
            paper="1605.07146",
            dims=(1, 2),
            build=_wide,
            numbered="wrn",
        ),
        Model(
            name="dsD-K",
            listed=("ds16-1",),
            summary="wrnD-K with depthwise-separable convolutions in its blocks",
            paper="1704.04861",
            dims=(1, 2),
            build=partial(_wide, separable=True),
            numbered="ds",
        ),
        Model(
            name="seD-K",
            listed=("se16-1",),
            summary="dsD-K with squeeze-excitation at the end of each block",
            paper="1709.01507",
            dims=(1, 2),
            build=partial(_wide, separable=True, excitation=True),
            numbered="se",
        ),
        Model(
            name="inception",
            listed=("inception",),
            summary="one network of InceptionTime: kernels of 40, 20 and 10 samples side by side, 6 modules",
            paper="1909.04939",
            dims=(1,),
            build=_inception,
        ),
        Model(
            name="patch",
            listed=("patch",),
            summary="transformer encoder over patches: 6 layers of 64 features, learned positions",
            paper="2211.14730",
            dims=(1, 2),
            build=_patch,
            sized=True,
            image_paper="2010.11929",
        ),
        Model(
            name="resnet18",
            listed=("resnet18",),
            summary="ResNet-18 of torchvision, from scratch",
            paper="1512.03385",
            dims=(2,),
            build=_resnet18,
        ),
        Model(
            name="mobilenetv3",
            listed=("mobilenetv3",),
            summary="MobileNetV3-Small of torchvision, from scratch",
            paper="1905.02244",
            dims=(2,),
            build=_mobilenetv3,
        ),
    )
}
"""The kinds of network by name."""


def list_models(dims: int | None = None) -> list[str]:
    """Return the names of the networks of the field, or of those that look at signals (1) or images (2).

    Any other `wrnD-K`, `dsD-K` and `seD-K` with D = 6 n + 4 can be built too, and each of these with the ending `-gn`,
    for group instead of batch normalisation.

    Examples
    --------
    >>> list_models(2)
    ['wrn16-1', 'wrn16-3', 'wrn28-1', 'wrn28-3', 'ds16-1', 'se16-1', 'patch', 'resnet18', 'mobilenetv3']
    """
    return [name for model in MODELS.values() if dims is None or dims in model.dims for name in model.listed]


def parse_model(name: str, also: Sequence[str] = ()) -> tuple[Model, dict[str, Any]]:
    """Return the kind of a network, and the options that its name holds.

    Parameters
    ----------
    name : str
    also : sequence of str
        What else is allowed where the name was given, for the error to list.

    Raises
    ------
    UserError
        For an unknown name, or a depth or width that no wide residual network has.

    Examples
    --------
    >>> model, options = parse_model("wrn28-3")
    >>> model.name, options
    ('wrnD-K', {'depth': 28, 'width': 3, 'norm': 'batch'})
    """
    for model in MODELS.values():
        options = model.options(name)
        if options is not None:
            if model.numbered:
                check_shape(options["depth"], options["width"])
            return model, options
    numbered = ", ".join(model.name for model in MODELS.values() if model.numbered)
    raise unknown("network", name, [*list_models(), *also, f"or any of {numbered} with D = 6 n + 4, or these with -gn"])


def check_shape(depth: int, width: int) -> None:
    """Refuse a depth that is not 6 n + 4 and a width below 1."""
    if depth < 10 or (depth - 4) % 6:
        below = max(10, depth - (depth - 4) % 6)
        nearest = sorted({below, below + 6 if depth > 10 else 10})
        raise UserError(
            f"depth {depth} is no WRN depth: it must be 6 n + 4 with n >= 1 blocks in each group; "
            f"nearest: {' and '.join(map(str, nearest))}"
        )
    if width < 1:
        raise UserError(f"width {width} is no WRN width: it must be at least 1")


def check_model(name: str, dims: int) -> None:
    """Refuse a network that is unknown or does not look at inputs of `dims` dimensions.

    Raises
    ------
    UserError

    Examples
    --------
    >>> check_model("resnet18", 1)
    Traceback (most recent call last):
    ...
    tsimage.errors.UserError: network 'resnet18' looks at images, not at the signal: use it as resnet18:gasf or on \
another image, or choose for the signal one of wrn16-1, wrn16-3, wrn28-1, wrn28-3, ds16-1, se16-1, inception, patch
    """
    model, _ = parse_model(name)
    if dims not in _SEES:
        raise UserError(f"dims {dims} is not allowed: it must be 1 for signals or 2 for images")
    if dims not in model.dims:
        use = f"{name}:gasf or on another image" if dims == 1 else f"{name}:signal"
        raise UserError(
            f"network '{name}' looks at {_SEES[model.dims[0]]}, not at {_SEES[dims]}: use it as {use}, or choose for "
            f"{_SEES[dims]} one of {', '.join(list_models(dims))}"
        )


def build_model(name: str, *, dims: int, in_channels: int, classes: int, size: int | None = None) -> nn.Module:
    """Build a network by name, freshly initialised from torch's random state.

    Parameters
    ----------
    name : str
        One of `list_models(dims)`; `wrnD-K`, `dsD-K` or `seD-K` of any depth D = 6 n + 4 and width K >= 1, each also
        with the ending `-gn`, for group normalisation of 8 channels a group (arXiv:1803.08494) instead of batch
        normalisation.
    dims : {1, 2}
        1 for signals (window, channel, time), 2 for images (window, channel, height, width).
    in_channels : int
        Channels of the input.
    classes : int
        Logits per window.
    size : int, optional
        Samples of a window, or pixels of the side of a square image. Only `patch` needs it and takes no other size;
        the other networks take any.

    Returns
    -------
    Module

    Raises
    ------
    UserError
        For an unknown name, an impossible depth or width, a network that does not look at inputs of such dimension, or
        a number below 1.

    Examples
    --------
    >>> model = build_model("wrn16-3", dims=2, in_channels=3, classes=14)
    >>> sum(p.numel() for p in model.parameters())
    1550302
    """
    check_model(name, dims)
    model, options = parse_model(name)
    if model.sized and size is None:
        raise UserError(
            f"network '{name}' needs size: give the {'samples of a window' if dims == 1 else 'side of an image'}"
        )
    for what, number in (("in_channels", in_channels), ("classes", classes), ("size", size)):
        if number is not None and number < 1:
            raise UserError(f"{what} {number} is not allowed for network '{name}': it must be at least 1")
    return model.build(dims=dims, in_channels=in_channels, classes=classes, size=size, **options)
