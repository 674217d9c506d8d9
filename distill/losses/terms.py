"""The syntax of a sum of losses, `kd+sp(beta=700, merge=raw)`, and whether the networks have what they need."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from distill.losses.registry import ABOVE_ZERO, LOSSES, NOT_NEGATIVE, Loss, Range
from distill.trace import Trace
from tsimage.errors import UserError, unknown
from tsimage.fields import FIELDS, split_stack


@dataclass(frozen=True, kw_only=True)
class Term:
    """One loss of a sum.

    Parameters
    ----------
    loss : Loss
    given : tuple of (str, value)
        The options that differ from their defaults.
    weight : float
        beta of a term of features; 1 for a term of logits, which lambda weighs.
    """

    loss: Loss
    given: tuple[tuple[str, Any], ...] = ()
    weight: float = 1.0

    @property
    def options(self) -> dict[str, Any]:
        """All options of the loss."""
        return self.loss.options | dict(self.given)

    @property
    def label(self) -> str:
        """The name of the loss, with what differs from its defaults.

        Examples
        --------
        >>> [term.label for term in parse_losses("kd(temperature=4)+sp(merge=raw, beta=700)")]
        ['kd', 'sp(beta=700,merge=raw)']
        """
        beta = {} if self.weight == _own_weight(self.loss) else {"beta": self.weight}
        given = ",".join(
            f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in (beta | dict(self.given)).items()
        )
        return f"{self.loss.name}({given})" if given else self.loss.name


def parse_losses(losses: str) -> tuple[Term, ...]:
    """Read a sum of losses: names joined by `+`, each with options in brackets where needed.

    A term of features also takes `beta`, its weight.

    Parameters
    ----------
    losses : str

    Returns
    -------
    tuple of Term

    Raises
    ------
    UserError
        For an unknown loss or option, a value of the wrong kind or out of range, a loss of which every part weighs 0, a
        loss named twice, or two terms of logits.

    Examples
    --------
    >>> logits, features = parse_losses("kd+sp(beta=700, merge=raw)")
    >>> features.weight, features.options
    (700.0, {'merge': 'raw'})
    """
    terms = tuple(_parse_term(losses, part) for part in split_stack(losses))
    names = [term.loss.name for term in terms]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"losses '{losses}' name {name} twice: give it once, with the options that count")
    logits = [term.loss.name for term in terms if term.loss.kind == "logits"]
    if len(logits) > 1:
        raise UserError(
            f"losses '{losses}' hold {' and '.join(logits)}: lambda weighs one loss of logits against the labels, so give one of them"
        )
    return terms


def build_modules(terms: Sequence[Term], student: Trace, teachers: Sequence[Trace]) -> nn.ModuleDict:
    """Return, by name, the terms with parameters, built for the shapes of an example batch.

    Their parameters are to be optimised together with the student's; `combine` takes them as `modules`.

    Parameters
    ----------
    terms : sequence of Term
    student, teachers : Trace and sequence of Trace
        Of a batch of any windows, after `check`.

    Examples
    --------
    >>> import torch
    >>> trace = Trace(logits=torch.zeros(4, 2), maps=(torch.zeros(4, 8, 16),))
    >>> list(build_modules(parse_losses("kd+hint(stage=1)"), trace, [trace]))
    ['hint']
    """
    modules = {
        term.loss.name: term.loss.term.build(student, teachers, **term.options)  # type: ignore[attr-defined]
        for term in terms
        if term.loss.is_module
    }
    return nn.ModuleDict(modules)


def check(term: Term, student: Trace, teachers: Sequence[Trace], names: Sequence[str]) -> None:
    """Refuse a term for which a network does not show what it compares.

    Parameters
    ----------
    term : Term
    student, teachers : Trace and sequence of Trace
        Of a batch of any windows.
    names : sequence of str
        Of the teachers, as NETWORK:VIEW.

    Raises
    ------
    UserError
        Where the student or a teacher has no maps or no embedding, or maps that cannot be compared.

    Examples
    --------
    >>> import torch
    >>> bare = Trace(logits=torch.zeros(1, 2))
    >>> try:
    ...     check(parse_losses("sp")[0], bare, [bare], ["minirocket:signal"])
    ... except UserError as error:
    ...     print(error)
    loss 'sp' needs feature maps and the student has none: choose kd, lskd, dkd or dist
    """
    loss, name = term.loss, f"loss '{term.loss.name}'"
    networks = [("the student", student), *((f"teacher '{n}'", t) for n, t in zip(names, teachers, strict=True))]
    for who, trace in networks:
        if loss.needs == "maps" and not trace.maps:
            raise UserError(f"{name} needs feature maps and {who} has none: choose {_others('logits')}")
        if loss.needs == "embedding" and trace.embedding is None:
            raise UserError(f"{name} needs an embedding and {who} has none: choose {_others('logits')}")
    if loss.needs != "maps":
        return
    stage = term.options.get("stage")
    for who, trace in networks:
        if stage is not None and stage > len(trace.maps):
            raise UserError(
                f"{name} takes stage {stage} and {who} has {len(trace.maps)}: give a stage from 1 to {len(trace.maps)}"
            )
        if stage is None and len(trace.maps) != len(student.maps):
            raise UserError(
                f"{name} compares stage by stage and {who} has {len(trace.maps)} stages where the student has "
                f"{len(student.maps)}: choose {_others('logits')}"
            )
    if loss.timed:
        for (who, trace), view in zip(networks[1:], names, strict=True):
            _check_time(name, who, student, trace, view.partition(":")[2].partition("@")[0])


def _check_time(name: str, who: str, student: Trace, teacher: Trace, view: str) -> None:
    """Refuse images whose axes are not both the time of the student's signal."""
    if teacher.maps[0].ndim == student.maps[0].ndim:
        return
    images = [part.partition("(")[0].strip() for part in split_stack(view)]
    untimed = [image for image in images if image in FIELDS and not FIELDS[image].timed]
    shapes = [m.shape[2:] for m in (*teacher.maps, *student.maps) if m.ndim == 4]
    oblong = [f"maps of {height} x {width}" for height, width in shapes if height != width]
    for seen in [*untimed, *oblong]:
        raise UserError(
            f"{name} compares a signal with an image over time and {who} looks at {seen}, of which not both axes are "
            f"that time: choose sp, rkd, dcd, {_others('logits')}"
        )


def _others(kind: str) -> str:
    *names, last = (loss.name for loss in LOSSES.values() if loss.kind == kind)
    return f"{', '.join(names)} or {last}"


def _own_weight(loss: Loss) -> float:
    return loss.weight if loss.kind == "features" else 1.0


def _parse_term(losses: str, part: str) -> Term:
    match = re.fullmatch(r"\s*([^()\s]*)\s*(?:\((.*)\))?\s*", part)
    if match is None:
        raise UserError(
            f"losses '{losses}' are not understood at '{part}': write them as kd(temperature=2)+sp(beta=700)"
        )
    if match[1] not in LOSSES:
        raise unknown("loss", match[1], [*LOSSES, "or several joined by +, as kd+sp"])
    loss = LOSSES[match[1]]
    defaults = ({"beta": loss.weight} if loss.kind == "features" else {}) | loss.options
    values: dict[str, Any] = {}
    for item in filter(None, (match[2] or "").split(",")):
        name, equals, text = (piece.strip() for piece in item.partition("="))
        if name not in defaults:
            raise unknown(f"option of the loss {loss.name}", name, defaults)
        if not equals or not text or name in values:
            raise UserError(f"losses '{losses}' are not understood at '{item}': give each option once, as {name}=VALUE")
        values[name] = _value(loss, name, text, defaults[name])
    shares = [name for name, allowed in loss.allowed.items() if allowed is NOT_NEGATIVE]
    if len(shares) > 1 and not any(values.get(name, defaults[name]) for name in shares):
        raise UserError(
            f"loss {loss.name} compares nothing where {' and '.join(shares)} are 0: give one of them above 0"
        )
    weight = values.pop("beta", loss.weight) if loss.kind == "features" else 1.0
    given = tuple((name, values[name]) for name in loss.options if values.get(name, defaults[name]) != defaults[name])
    return Term(loss=loss, given=given, weight=weight)


def _value(loss: Loss, name: str, text: str, default: Any) -> Any:
    """Read an option as the type of its default, within what is allowed."""
    allowed: Range | tuple[str, ...] = loss.allowed.get(name, ABOVE_ZERO)  # beta of a term of features is its weight
    if isinstance(allowed, tuple):
        if text not in allowed:
            raise unknown(f"{name} of the loss {loss.name}", text, allowed)
        return text
    try:
        value = type(default)(text)
    except ValueError:
        value = None
    if value is None or value not in allowed:
        number = "a whole number" if isinstance(default, int) else "a number"
        raise UserError(f"option {name} of the loss {loss.name} is '{text}': give {number} {allowed}")
    return value
