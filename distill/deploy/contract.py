"""What an exported student wants to see and what it answers: written into the file, and checked by whatever runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tsimage.errors import UserError

VERSION = 1
KEY = "distill"
"""Under which a contract stands in the metadata of an ONNX file, as JSON."""
INPUT, LOGITS, PROBABILITIES = "windows", "logits", "probabilities"
"""Names in the graph: raw windows (window, channel, time) in float32, and (window, class) of each answer."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What goes with an exported model.

    Parameters
    ----------
    channels : tuple of str
        In the order of the input.
    units : tuple of str
        Of each channel, as `tsimage` writes them (g, m/s^2, rad/s, deg/s); the model wants these and no others.
    rate_hz : float
    length : int
        Samples of a window.
    classes : tuple of str
        In the order of the output.
    energy : float
        Windows whose log-sum-exp of the logits lies below are unlike those that it learnt from: the 1st percentile of
        the training windows [1]_.
    low, high : tuple of float
        Lowest and highest value of each channel in the training windows, in its unit.
    about : mapping
        Where the model comes from, as JSON types: data, hashes, recipe, scores.

    References
    ----------
    .. [1] W. Liu et al., "Energy-based Out-of-distribution Detection", 2020, arXiv:2010.03759.
    """

    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float
    length: int
    classes: tuple[str, ...]
    energy: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    about: Mapping[str, Any]

    def to_json(self) -> str:
        """Write it as JSON, with the version of its form."""
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Contract:
        """Read what `to_json` wrote.

        Parameters
        ----------
        text : str
        where : str
            The file that it stands in, for errors.

        Raises
        ------
        UserError
            If it is of another version, or not one.
        """
        try:
            content = json.loads(text)
            version = content.pop("version")
            if version == VERSION:
                made = {f.name: content[f.name] for f in fields(cls)}
                several = ("channels", "units", "classes", "low", "high")
                return cls(**made | {name: tuple(made[name]) for name in several})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"'{where}' does not say what it wants to see: export it anew with distill export"
            ) from error
        raise UserError(
            f"'{where}' was exported in form {version}, here it is {VERSION}: export it anew with distill export"
        )
