"""How the teachers of a run are named and weighed: NETWORK, NETWORK:VIEW or NETWORK:VIEW=WEIGHT, perhaps with @DIR."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.models import check_model, parse_model
from distill.views import SIGNAL, check_view
from tsimage.errors import UserError

GAF_VIEW = "gasf"
"""The image view of a teacher that is named without a view: one GASF per axis, stacked as channels."""
RIDGES = ("minirocket", "hydra")
"""Teachers of random convolutions and a ridge (`distill.rocket`), which look at the signal and give cross-fitted logits."""
DEFAULT_ALPHA = 0.3
"""Weight of the image teacher where there is one of each kind and no weight was given."""
NamedTeacher = tuple[str, str, str, float | None]
"""Network, view, folder of the earlier run (or empty), and the weight if one was given."""


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A teacher: its network, what it looks at, and its weight w_k among the teachers."""

    network: str
    view: str
    weight: float
    source: str = ""
    """Directory of the earlier run that it comes from; empty if it is trained here."""
    apart: str = ""
    """Of one from an earlier run, where another teacher has its network and view: @ and the end of the directory, as @first."""

    @property
    def name(self) -> str:
        """What no other teacher of the run is called: NETWORK:VIEW, or NETWORK:VIEW@DIR where another is that too."""
        return f"{self.network}:{self.view}{self.apart}"


def parse_teachers(texts: Sequence[str], alpha: float | None = None) -> tuple[Teacher, ...]:
    """Read the names of all teachers of a run, and weigh them.

    Parameters
    ----------
    texts : sequence of str
        See `parse_teacher`.
    alpha : float or None
        Weight of the image teacher where there is one of each kind, from 0 to 1; 0.3 if None.

    Raises
    ------
    UserError
        For an unknown network or view, a teacher of the same run named twice, or weights that do not fit.

    Examples
    --------
    >>> [(t.name, t.weight) for t in parse_teachers(["wrn16-1:mtf=0.25", "wrn16-3:signal=0.75"])]
    [('wrn16-1:mtf', 0.25), ('wrn16-3:signal', 0.75)]
    >>> [t.name for t in parse_teachers(["wrn16-1:mtf@runs/a", "wrn16-1:mtf@runs/b", "wrn16-1:signal@runs/a"])]
    ['wrn16-1:mtf@a', 'wrn16-1:mtf@b', 'wrn16-1:signal']
    """
    if not texts:
        raise UserError("no teacher is named: give at least one, as wrn28-3 or wrn28-3:gasf")
    named: list[NamedTeacher] = []
    for text in texts:
        named += parse_teacher(text)
    aparts = []
    for network, view, source, _ in named:
        alike = [other for *what, other, _ in named if what == [network, view]]
        if sum(_parts(other) == _parts(source) for other in alike) > 1:
            whose = f"{network}:{view}" + (f"@{source}" if source else "")
            raise UserError(f"teacher '{whose}' is named twice: name it once and give it the weight of both")
        aparts.append(_apart(source, alike))
    names = [f"{network}:{view}{apart}" for (network, view, *_), apart in zip(named, aparts, strict=True)]
    weights = _weights(named, names, alpha)
    return tuple(
        Teacher(network=network, view=view, weight=weight, source=source, apart=apart)
        for (network, view, source, _), weight, apart in zip(named, weights, aparts, strict=True)
    )


def _parts(source: str) -> tuple[str, ...]:
    """Return the parts of a directory's path, the same however it is written; none of a teacher that is trained here."""
    return Path(os.path.normpath(source)).parts if source else ()


def _apart(source: str, alike: Sequence[str]) -> str:
    """Return @ and as few of the last parts of a directory as no other ends with; nothing where there is no other."""
    mine, others = _parts(source), [_parts(other) for other in alike if _parts(other) != _parts(source)]
    if not mine or not others:
        return ""
    ends = (mine[-n:] for n in range(1, len(mine) + 1))
    shortest = next((end for end in ends if all(other[-len(end) :] != end for other in others)), mine)
    return f"@{Path(*shortest).as_posix()}"


def parse_teacher(text: str) -> list[NamedTeacher]:
    """Split NETWORK, NETWORK:VIEW or NETWORK:VIEW=WEIGHT, the first two perhaps followed by @DIR.

    Returns
    -------
    list of NamedTeacher
        One; for a NETWORK alone two, on GASF and on the signal.

    Raises
    ------
    UserError
        For an unknown network or view, one that does not fit the other, a weight outside 0 to 1, or several teachers.

    Examples
    --------
    >>> parse_teacher("wrn16-1:gasf+mtf=0.4")
    [('wrn16-1', 'gasf+mtf', '', 0.4)]
    >>> parse_teacher("wrn16-1@runs/first")
    [('wrn16-1', 'gasf', 'runs/first', None), ('wrn16-1', 'signal', 'runs/first', None)]
    """
    name, at, source = text.partition("@")
    if at:  # a folder may have = in its name
        folder, equals, weight_text = source.rpartition("=")
        is_weight = bool(equals) and re.fullmatch(r"[-+.\deE]*|nan|inf", weight_text) is not None
        source, equals, weight_text = (folder, equals, weight_text) if is_weight else (source, "", "")
    else:
        match = re.fullmatch(r"((?:[^=()]|\([^)]*\))*)(=?)(.*)", text, re.DOTALL)
        name, equals, weight_text = match.groups() if match else (text, "", "")
    if at and not source:
        raise UserError(f"teacher '{text}' names no folder after @: give the directory of the run that it comes from")
    network, colon, view = name.partition(":")
    if "," in network or ":" in view + weight_text:
        raise UserError(
            f"teacher '{text}' names more than one: separate them by spaces on the command line, and give them as a list in a "
            "file or in Python"
        )
    if network in RIDGES:
        if view != SIGNAL:
            raise UserError(f"teacher '{text}': {network} looks at the raw signal alone: name it {network}:{SIGNAL}")
    else:
        parse_model(network, also=RIDGES)
    if not colon:
        if equals:
            raise UserError(
                f"teacher '{text}' means two teachers, {network}:{GAF_VIEW} and {network}:{SIGNAL}: weigh each of them, or "
                "use alpha"
            )
        check_model(network, dims=2)
        check_model(network, dims=1)
        return [(network, GAF_VIEW, source, None), (network, SIGNAL, source, None)]
    check_view(view)
    if network not in RIDGES:
        check_model(network, dims=1 if view == SIGNAL else 2)
    if not equals:
        return [(network, view, source, None)]
    try:
        weight = float(weight_text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight <= 1:
        raise UserError(f"teacher '{text}' has the weight '{weight_text}': give a number from 0 to 1")
    return [(network, view, source, weight)]


def _weights(named: list[NamedTeacher], names: list[str], alpha: float | None) -> list[float]:
    given = [weight for *_, weight in named if weight is not None]
    images = sum(view != SIGNAL for _, view, *_ in named)
    pair = len(named) == 2 and images == 1
    if given:
        if alpha is not None:
            raise UserError("alpha and weights of teachers (NETWORK:VIEW=WEIGHT) say the same thing: give one of them")
        if len(given) < len(named):
            raise UserError(
                f"{len(given)} of {len(named)} teachers have a weight: weigh all of them ({', '.join(names)}) or none"
            )
        if not math.isclose(sum(given), 1.0, abs_tol=1e-6):
            mended = ", ".join(f"{name}={w:g}" for name, w in zip(names, _summing_to_one(given), strict=True))
            raise UserError(f"the weights of the teachers sum to {sum(given):.6g}, not 1: give {mended}")
        return given
    if pair:
        alpha = DEFAULT_ALPHA if alpha is None else alpha
        return [alpha if view != SIGNAL else 1 - alpha for _, view, *_ in named]
    if alpha is not None:
        mend = "weigh them as NETWORK:VIEW=WEIGHT" if len(named) > 1 else "leave it out, or name one of each"
        raise UserError(
            "alpha weighs one image teacher against one signal teacher, but "
            f"{'the teachers are' if len(named) > 1 else 'the only teacher is'} {', '.join(names)}: {mend}"
        )
    return [1 / len(named)] * len(named)


def _summing_to_one(weights: list[float]) -> list[float]:
    """Return weights in the same proportion, equal ones of zeros, as multiples of 0.0001 that sum to 1."""
    total = sum(weights)
    exact = [10_000 * (w / total if total else 1 / len(weights)) for w in weights]
    shares = [math.floor(share) for share in exact]
    nearest = sorted(range(len(exact)), key=lambda k: shares[k] - exact[k])  # who lost most by the rounding comes first
    for k in nearest[: 10_000 - sum(shares)]:
        shares[k] += 1
    return [share / 10_000 for share in shares]
