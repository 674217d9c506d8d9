"""What teachers say of a batch, and the loss in which a student listens to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from distill.batching import Samples
from distill.losses import Term, build_modules, check, combine
from distill.prediction import embed, predict, repeatable
from distill.rates import annealed
from distill.trace import Trace
from distill.views import View
from distill.weighing import weigh
from tsimage.errors import UserError

Speaker = Callable[[Tensor, Tensor], Trace]
"""A frozen teacher: takes the positions of a batch among the training windows and their values; gives its trace."""


@dataclass(frozen=True, eq=False)
class Cached:
    """A teacher who was asked about all training windows before: logits (window, class), embedding (window, feature)."""

    logits: Tensor
    embedding: Tensor | None = None

    def __call__(self, index: Tensor, values: Tensor) -> Trace:
        return Trace(logits=self.logits[index], embedding=None if self.embedding is None else self.embedding[index])


def cached(logits: Tensor, embedding: Tensor | None = None) -> Speaker:
    """Return a teacher whose logits (window, class) of all training windows, in their order, were computed before, and whose
    embeddings (window, feature) for losses that compare them; it shows no feature maps, which would not fit."""
    return Cached(logits, embedding)


def asked_once(model: nn.Module, view: View, values: Tensor, *, embeddings: bool) -> Speaker:
    """Return a teacher that is asked now about all training windows (window, channel, time), for its embeddings too or for its
    logits alone; what it says lies on the device of the windows."""
    shown = embed(model, view, values) if embeddings else Trace(logits=predict(model, view, values))
    return cached(
        shown.logits.to(values.device), None if shown.embedding is None else shown.embedding.to(values.device)
    )


def live(model: nn.Module, view: View) -> Speaker:
    """Return a teacher that looks at every batch anew, in full float32 and without gradient: what it sees is what the
    student sees, and its feature maps last as long as the batch.

    Without augmentation it shows what `asked_once` keeps, but for rounding, as batches are of other windows."""

    def speak(index: Tensor, values: Tensor) -> Trace:
        with repeatable(), torch.no_grad():
            return model.eval().trace(view.of(values))  # type: ignore[operator]

    return speak


@dataclass(frozen=True, kw_only=True, eq=False)
class Teaching:
    """Teachers, how they are weighed, and which losses a student takes from them.

    Parameters
    ----------
    teachers : sequence of Speaker
    names : sequence of str
        NETWORK:VIEW of each, for errors.
    weights : sequence of float
        One per teacher, summing to 1, for weighing `fixed`.
    terms : tuple of Term
        From `distill.losses.parse_losses`.
    weighing : str
        `fixed`, or a name of `distill.weighing.WEIGHINGS`.
    lambda_, lambda_to : float
        Weight of the term of logits in the first step and, if given, in the last; a straight line between.
    temperature, temperature_to : float, optional
        The same for the temperature of the term of logits, which has its own default.
    modules : ModuleDict
        Terms with parameters, which are trained with the student; `ready` builds them.
    """

    teachers: Sequence[Speaker]
    names: Sequence[str]
    weights: Sequence[float]
    terms: tuple[Term, ...]
    weighing: str = "fixed"
    lambda_: float = 0.7
    lambda_to: float | None = None
    temperature: float | None = None
    temperature_to: float | None = None
    modules: nn.ModuleDict = field(default_factory=nn.ModuleDict)

    def ready(self, student: nn.Module, view: View, samples: Samples) -> Teaching:
        """Return the same, checked on two of the training windows, and with the modules that their shapes need.

        Raises
        ------
        UserError
            If a loss compares what the student or a teacher does not show, or logits are not of these windows and classes.
        """
        for name, teacher in zip(self.names, self.teachers, strict=True):
            if isinstance(teacher, Cached):
                _check_rows(name, teacher, len(samples.ids))
        index = torch.arange(min(2, len(samples.ids)), device=samples.values.device)
        values = samples.values[index]
        training = student.training
        with torch.no_grad():
            shown = student.eval().trace(view.of(values))  # type: ignore[operator]
        student.train(training)
        traces = [teacher(index, values) for teacher in self.teachers]
        for name, trace in zip(self.names, traces, strict=True):
            if trace.logits.shape[1] != shown.logits.shape[1]:
                raise UserError(
                    f"teacher {name} tells {trace.logits.shape[1]} classes apart, and the student {shown.logits.shape[1]}: take "
                    "one that was trained on the same classes"
                )
        for term in self.terms:
            check(term, shown, traces, self.names)
        return replace(self, modules=build_modules(self.terms, shown, traces).to(values.device))

    def losses(
        self,
        student: Trace,
        index: Tensor,
        values: Tensor,
        labels: Tensor,
        *,
        epoch: int,
        step: int = 0,
        steps: int = 1,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, float | Tensor]]:
        """Return the parts of the loss (`distill.losses.combine`), and the effective weight of each that is added.

        The weight of a teacher, `teacher_0` and so on, is the mean over the batch, left on the device.
        """
        lambda_, temperature = self.lambda_at(step, steps), self.temperature_at(step, steps)
        terms = tuple(at_temperature(term, temperature) for term in self.terms)
        traces = [teacher(index, values) for teacher in self.teachers]
        logits = torch.stack([trace.logits for trace in traces]).float()
        weights = weigh(self.weighing, self.weights, student.logits.detach().float(), logits, labels, temperature)
        parts = combine(
            terms,
            student,
            traces,
            labels,
            weights,
            lambda_=lambda_,
            epoch=epoch,
            label_smoothing=label_smoothing,
            class_weights=class_weights,
            targets=targets,
            modules=self.modules,
        )
        shares = {f"teacher_{k}": weight for k, weight in enumerate(weights.mean(dim=1))}
        return parts, {**effective_weights(terms, lambda_, epoch), **shares}

    def lambda_at(self, step: int, steps: int) -> float:
        """Return lambda in a step of so many."""
        return annealed(self.lambda_, self.lambda_to, step, steps)

    def temperature_at(self, step: int, steps: int) -> float:
        """Return the temperature of the term of logits in a step of so many, 4 where it has none."""
        for term in self.terms:
            name = _temperature_of(term)
            if name is not None:
                start = term.options[name] if self.temperature is None else self.temperature
                return annealed(start, self.temperature_to, step, steps)
        return 4.0


def _check_rows(name: str, teacher: Cached, windows: int) -> None:
    """Refuse a teacher who was asked about more or fewer windows than there are to train."""
    for what, rows in (("logits", teacher.logits), ("embeddings", teacher.embedding)):
        if rows is not None and len(rows) != windows:
            raise UserError(
                f"the {what} of teacher {name} are of {len(rows):,} windows, and there are {windows:,} training windows: "
                "give a row for each of them, in their order"
            )


def at_temperature(term: Term, temperature: float | Tensor) -> Term:
    """Return a term with another temperature, if it has one.

    >>> from distill.losses import parse_losses
    >>> [at_temperature(term, 2.0).label for term in parse_losses("kd+sp")]
    ['kd(temperature=2)', 'sp']
    """
    name = _temperature_of(term)
    return term if name is None else replace(term, given=(*dict(term.given, **{name: temperature}).items(),))


def _temperature_of(term: Term) -> str | None:
    """Return what a term of logits calls its temperature."""
    names = (name for name in ("temperature", "tau") if name in term.loss.options)
    return next(names, None) if term.loss.kind == "logits" else None


def effective_weights(terms: Sequence[Term], lambda_: float | Tensor, epoch: int) -> dict[str, float | Tensor]:
    """Return what the cross entropy and each term are multiplied with before they are added.

    >>> from distill.losses import parse_losses
    >>> effective_weights(parse_losses("kd+sp(beta=700)"), 0.75, 1)
    {'cross_entropy': 0.25, 'kd': 0.75, 'sp': 700.0}
    """
    of_logits = any(term.loss.kind == "logits" for term in terms)
    return {"cross_entropy": 1 - lambda_ if of_logits else 1.0} | {
        term.loss.name: (lambda_ if term.loss.kind == "logits" else term.weight) * term.loss.warmth(epoch)
        for term in terms
    }
