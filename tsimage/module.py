"""The recipe of images as a module of a torch network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tsimage.imager import Imager


class ImageModule(nn.Module):
    """Paint a batch of windows as images on the device they are on; put it in front of any image network.

    It has no weights and its state dictionary is empty: keep the recipe beside the weights. It follows `.to(dtype)`,
    `.half()` and `.double()` as other modules do: the images are painted as the recipe says and handed on in that type,
    so that the next module gets what it expects. Autocast does not reach into it.

    Parameters
    ----------
    imager : Imager
        The recipe; with scaling `fixed` it needs `units`.
    units : sequence of str, optional
        Unit of each channel.

    Examples
    --------
    >>> paint = ImageModule(Imager(stack="gasf+mtf", size=16, scaling="window"))
    >>> network = nn.Sequential(paint, nn.Conv2d(6, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    >>> network(torch.randn(5, 3, 100)).shape
    torch.Size([5, 2])
    >>> paint
    ImageModule(stack='gasf+mtf', size=16, scaling='window')
    """

    dtype_of_images: Tensor

    def __init__(self, imager: Imager, units: Sequence[str] | None = None) -> None:
        super().__init__()
        self.imager = imager
        self.units = None if units is None else tuple(units)
        # A tensor without elements: the only way to be told of .to(dtype) is to have something to convert.
        self.register_buffer("dtype_of_images", torch.empty(0, dtype=getattr(torch, imager.dtype)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Paint windows.

        Parameters
        ----------
        x : tensor, shape (batch, channel, time)
            Finite values, on any device.

        Returns
        -------
        tensor, shape (batch, image channel, S, S)
            On the device of `x`; differentiable with respect to `x` where the fields are. Markov fields, persistence images,
            qgaf with shots and recurrence plots with a threshold carry no gradient: images of nothing else cannot be
            differentiated.

        Raises
        ------
        UserError
            As the imager does.
        """
        with torch.autocast(x.device.type, enabled=False):
            return self.imager(x, self.units).to(self.dtype_of_images.dtype)

    def extra_repr(self) -> str:
        """Show where the recipe differs from the default one, and the units."""
        shown = [
            f"{field.name}={value!r}"
            for field in dataclasses.fields(self.imager)
            if field.repr and (value := getattr(self.imager, field.name)) != field.default
        ]
        return ", ".join(shown if self.units is None else [*shown, f"units={self.units}"])
