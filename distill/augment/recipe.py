"""The syntax of a recipe of augmentations: `rotation(degrees=15)+jitter(sigma=0.05)+mixup(alpha=0.2)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from distill.augment.options import Value
from distill.augment.registry import AUGMENTATIONS, Augmentation
from tsimage.errors import UserError, unknown
from tsimage.fields import split_stack

Place = Literal["signal", "image"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One augmentation of a recipe, with the options that differ from their defaults."""

    name: str
    given: tuple[tuple[str, Value], ...] = ()

    @property
    def augmentation(self) -> Augmentation:
        """The entry of the registry."""
        return AUGMENTATIONS[self.name]

    @property
    def options(self) -> dict[str, Value]:
        """All options."""
        return {option.name: option.default for option in self.augmentation.options} | dict(self.given)

    @property
    def place(self) -> Place:
        """Whether it changes signals or images."""
        where = self.augmentation.where
        if where == "batch":
            return "image" if self.options["on"] == "image" else "signal"
        return where

    @property
    def label(self) -> str:
        """The augmentation as it is written in a recipe."""
        given = ",".join(f"{name}={_text(value)}" for name, value in self.given)
        return f"{self.name}({given})" if given else self.name


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Augmentations in the order in which they are applied; without any, nothing is changed."""

    steps: tuple[Step, ...] = ()

    @property
    def label(self) -> str:
        """The recipe in one way of writing it; `parse_augment` reads it back."""
        return "+".join(step.label for step in self.steps)

    @property
    def mixes(self) -> Place | None:
        """What is mixed with other windows, so that labels become soft: signals, images, or nothing."""
        return next((step.place for step in self.steps if step.augmentation.where == "batch"), None)


def parse_augment(text: str) -> Recipe:
    """Read a recipe: augmentations joined by `+`, each with options in brackets where needed; empty for none.

    Raises
    ------
    UserError
        For an unknown augmentation or option, a value that is not allowed, one named twice, or both mixup and cutmix.

    Examples
    --------
    >>> parse_augment("rotation(degrees=15) + jitter(sigma=0.03, p=0.5) + mixup").label
    'rotation(degrees=15)+jitter(p=0.5)+mixup'
    >>> parse_augment("").steps
    ()
    """
    if not text.strip():
        return Recipe()
    steps = tuple(_parse_step(text, part) for part in split_stack(text))
    names = [step.name for step in steps]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"augmentation recipe '{text}' names {name} twice: name it once")
    mixing = [step.name for step in steps if step.augmentation.where == "batch"]
    if len(mixing) > 1:
        raise UserError(
            f"augmentation recipe '{text}' mixes windows twice, by {' and '.join(mixing)}: a label is shared between two "
            "windows at most, so name one of them"
        )
    return Recipe(steps=steps)


def _parse_step(recipe: str, part: str) -> Step:
    match = re.fullmatch(r"\s*([^()\s]*)\s*(?:\((.*)\))?\s*", part)
    if match is None:
        raise UserError(
            f"augmentation recipe '{recipe}' is not understood at '{part}': write it as "
            "rotation(degrees=15)+jitter(sigma=0.05,p=0.5)"
        )
    if match[1] not in AUGMENTATIONS:
        raise unknown("augmentation", match[1], [*AUGMENTATIONS, "or several joined by +, as rotation+jitter"])
    allowed = {option.name: option for option in AUGMENTATIONS[match[1]].options}
    values: dict[str, Value] = {}
    for item in filter(None, (match[2] or "").split(",")):
        name, equals, text = (piece.strip() for piece in item.partition("="))
        if name not in allowed:
            raise unknown(f"option of the augmentation {match[1]}", name, allowed)
        if not equals or not text or name in values:
            raise UserError(
                f"augmentation recipe '{recipe}' is not understood at '{item}': give each option once, as {name}=VALUE"
            )
        value = allowed[name].read(text)
        if value is None:
            raise UserError(f"option {name} of the augmentation {match[1]} is '{text}': give {allowed[name].allowed}")
        values[name] = value
    # in the order of the registry, so that one recipe is written in one way
    return Step(
        name=match[1], given=tuple((o, values[o]) for o in allowed if values.get(o, v := allowed[o].default) != v)
    )


def _text(value: Value) -> str:
    ends = value if isinstance(value, tuple) else (value,)
    return ":".join(f"{end}".removesuffix(".0") for end in ends)
