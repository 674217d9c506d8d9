"""A recipe bound to the sensors of a data set: batches in, augmented batches out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from distill.augment.mixing import Augmented, unmixed
from distill.augment.recipe import Place, Recipe
from distill.augment.streams import Streams
from tsimage.errors import UserError
from tsimage.triples import find_triples

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Augmenter:
    """Applies a recipe to batches; the same window in the same epoch is always changed alike.

    Parameters
    ----------
    recipe : Recipe
        See `distill.augment.parse_augment`.
    channels, units : sequence of str
        Name and unit of each channel.
    scale : sequence of float, shape (channel,)
        Standard deviation of each channel over the training windows.
    seed : int

    Raises
    ------
    UserError
        For a rotation without an x, y, z triple or of a triple in several units, a scale that does not fit, or the dropout
        of an only channel.

    Examples
    --------
    >>> import torch
    >>> from distill.augment import hash_ids, parse_augment
    >>> names = ["acc-x", "acc-y", "acc-z"]
    >>> recipe = parse_augment("rotation(degrees=15)+mixup")
    >>> augmenter = Augmenter(recipe=recipe, channels=names, units=["g"] * 3, scale=[1.0] * 3, seed=0)
    >>> mixed = augmenter.signals(torch.randn(8, 3, 50), hash_ids("abcdefgh"), epoch=1)
    >>> mixed.values.shape, mixed.soft_labels(torch.arange(8) % 4, 4).shape
    (torch.Size([8, 3, 50]), torch.Size([8, 4]))
    """

    recipe: Recipe
    channels: Sequence[str]
    units: Sequence[str]
    scale: Sequence[float] | np.ndarray
    seed: int

    def __post_init__(self) -> None:
        for field in ("channels", "units", "scale"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        names, needs = list(self.channels), {need for step in self.recipe.steps for need in step.augmentation.needs}
        if "triples" in needs:
            triples = self._sensors["triples"]
            if not triples:
                raise UserError(
                    "augmentation rotation turns the x, y and z of a sensor together, but the channels "
                    f"{', '.join(names)} have none: name them as acc-x, acc-y, acc-z, or leave rotation out"
                )
            for triple in triples:
                if len({self.units[i] for i in triple}) > 1:
                    raise UserError(
                        f"augmentation rotation cannot turn {', '.join(names[i] for i in triple)} together, as their units "
                        f"are {', '.join(self.units[i] or 'unknown' for i in triple)}: convert them to one unit"
                    )
        if "scale" in needs:
            if len(self.scale) != len(names):
                raise UserError(f"scale has {len(self.scale)} values for {len(names)} channels: give one for each")
            for name, deviation in zip(names, self.scale, strict=True):
                if not 0 <= deviation < np.inf:
                    raise UserError(
                        f"scale of channel {name} is {deviation:g}: give its standard deviation in training, at least 0"
                    )
        if len(names) == 1 and any(step.name == "channel_dropout" for step in self.recipe.steps):
            raise UserError(
                f"augmentation channel_dropout has nothing to drop, as {names[0]} is the only channel: leave it out"
            )

    def signals(self, values: Tensor, ids_hash: np.ndarray, epoch: int) -> Augmented:
        """Apply what changes signals, in the order named, also the mixing of signals.

        Teachers on images see the same if their images are painted from the result.

        Parameters
        ----------
        values : Tensor of floats, shape (window, channel, time)
            On any device; left as they are.
        ids_hash : ndarray of uint64, shape (window,)
            See `distill.augment.hash_ids`.
        epoch : int

        Returns
        -------
        Augmented
        """
        return self._augmented("signal", values, ids_hash, epoch)

    def images(self, images: Tensor, ids_hash: np.ndarray, epoch: int) -> Augmented:
        """Apply what changes images, in the order named, also the mixing of images (`on=image`).

        Labels follow `recipe.mixes`: with mixed signals they are those of `signals`, as nothing is mixed here again.

        Parameters
        ----------
        images : Tensor of floats, shape (window, channel, height, width)
        ids_hash : ndarray of uint64, shape (window,)
        epoch : int

        Returns
        -------
        Augmented
        """
        return self._augmented("image", images, ids_hash, epoch)

    @cached_property
    def _sensors(self) -> dict[str, Any]:
        """What augmentations may need to know of the sensors."""
        return {"triples": tuple(find_triples(self.channels).values()), "scale": self.scale}

    def _augmented(self, place: Place, values: Tensor, ids_hash: np.ndarray, epoch: int) -> Augmented:
        if len(ids_hash) != len(values):
            raise UserError(f"{len(ids_hash)} window ids for {len(values)} windows: give one for each")
        streams = Streams(seed=self.seed, epoch=epoch, ids_hash=ids_hash)
        labels = unmixed(values)
        for step in self.recipe.steps:
            if step.place != place:
                continue
            options: dict[str, Any] = {name: value for name, value in step.options.items() if name != "on"}
            options |= {need: self._sensors[need] for need in step.augmentation.needs}
            result = step.augmentation.apply(values, streams, **options)
            if isinstance(result, Augmented):
                labels, values = result, result.values
            else:
                values = result
        return Augmented(values=values, partner=labels.partner, share=labels.share)
