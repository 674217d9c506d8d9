"""Options of augmentations: their defaults, and what is allowed, in numbers and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

Value = int | float | str | tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of an augmentation: its default, whose type it has, and what is allowed.

    Parameters
    ----------
    name : str
    default : int, float, str or (float, float)
    meaning : str
    low, high : float
        Bounds of a number, or of both ends of a range.
    open_low, open_high : bool
        Whether the bound itself is excluded.
    choices : tuple of str
        Of a word.
    """

    name: str
    default: Value
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What is allowed, in words.

        Examples
        --------
        >>> Option(name="sigma", default=0.1, meaning="", low=0, high=10, open_low=True).allowed
        'a number above 0 and at most 10'
        """
        if self.choices:
            return " or ".join(self.choices)
        kind = {int: "a whole number", float: "a number", tuple: "two rising numbers joined by ':', each"}
        ends = []
        if self.low > -math.inf:
            ends.append(f"{'above' if self.open_low else 'at least'} {self.low:g}")
        if self.high < math.inf:
            ends.append(f"{'below' if self.open_high else 'at most'} {self.high:g}")
        return " ".join([kind[type(self.default)], " and ".join(ends)]).rstrip()

    def read(self, text: str) -> Value | None:
        """Return the value that the text stands for; None if it is not allowed.

        Examples
        --------
        >>> share = Option(name="share", default=0.1, meaning="", low=0, high=0.5, open_low=True)
        >>> share.read("0.25"), share.read("0"), share.read("much")
        (0.25, None, None)
        """
        if self.choices:
            return text if text in self.choices else None
        whole = isinstance(self.default, int)
        try:
            ends = [int(end) if whole else float(end) for end in text.split(":")]
        except ValueError:
            return None
        if len(ends) != (2 if isinstance(self.default, tuple) else 1) or ends != sorted(ends):
            return None
        for end in ends:
            too_low = end <= self.low if self.open_low else end < self.low
            too_high = end >= self.high if self.open_high else end > self.high
            if too_low or too_high or not math.isfinite(end):
                return None
        return (ends[0], ends[1]) if len(ends) == 2 else ends[0]
