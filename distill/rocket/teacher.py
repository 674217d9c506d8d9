"""Teachers made of random convolutions and a ridge, with soft labels from cross-fitting."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from distill.rocket.calibration import calibrating_factor
from distill.rocket.crossfit import Fold, cross_fitted_logits
from distill.rocket.hydra import Hydra
from distill.rocket.minirocket import MiniRocket
from distill.rocket.ridge import ALPHAS, Ridge, Scaling, fit_ridge, fit_scaling
from tsimage.errors import UserError, unknown

KINDS: dict[str, type[MiniRocket] | type[Hydra]] = {"minirocket": MiniRocket, "hydra": Hydra}
"""The transforms by name; all look at the view `signal`."""
SPARSE = {"minirocket": False, "hydra": True}
"""Whether features are counts, which are scaled as such."""
METADATA = "rocket"
"""The one key of the metadata of a stored teacher."""


def make_transform(kind: str, seed: int = 0, options: Mapping[str, int] | None = None) -> MiniRocket | Hydra:
    """Return a transform by name, not yet fitted.

    Raises
    ------
    UserError
        For an unknown name or option, or an option out of its range.

    Examples
    --------
    >>> make_transform("minirocket", options={"n_features": 840}).n_features
    840
    """
    if kind not in KINDS:
        raise unknown("random-convolution teacher", kind, KINDS)
    allowed = [name for name in inspect.signature(KINDS[kind]).parameters if name != "seed"]
    for name in options or {}:
        if name not in allowed:
            raise unknown(f"option of {kind}", name, allowed)
    return KINDS[kind](seed=seed, **(options or {}))


class RidgeHead:
    """The scaling of features and a ridge on them.

    Parameters
    ----------
    sparse : bool
        Whether features are counts; see `Scaling`.
    alphas : tuple of float
        Penalties to choose from.
    """

    def __init__(self, *, sparse: bool, alphas: tuple[float, ...] = ALPHAS) -> None:
        self.sparse, self.alphas = sparse, alphas
        self.scaling: Scaling
        self.ridge: Ridge

    def fit(self, values: np.ndarray, labels: np.ndarray, classes: int) -> RidgeHead:
        """Learn from features (window, feature) and labels (window,), and return self."""
        self.scaling = fit_scaling(values, sparse=self.sparse)
        self.ridge = fit_ridge(self.scaling(values), labels, classes, self.alphas)
        return self

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return scores (window, class) of features."""
        return self.ridge.scores(self.scaling(values))


class RidgeModel:
    """A transform and a ridge on its features.

    Parameters
    ----------
    transform : MiniRocket or Hydra
        Not yet fitted.
    head : RidgeHead
        Not yet fitted.
    """

    def __init__(self, transform: MiniRocket | Hydra, head: RidgeHead) -> None:
        self.transform, self.head = transform, head

    def fit(self, values: np.ndarray, labels: np.ndarray, classes: int) -> RidgeModel:
        """Learn from training windows (window, channel, time) and labels (window,), and return self."""
        self.head.fit(self.transform.fit(values).transform(values), labels, classes)
        return self

    def scores(self, values: np.ndarray, batch_size: int = 1024) -> np.ndarray:
        """Return scores (window, class) of windows, a batch at a time; features of all would be large."""
        starts = range(0, len(values), batch_size)
        parts = [self.head.scores(self.transform.transform(values[i : i + batch_size])) for i in starts]
        return np.concatenate([np.empty((0, len(self.head.ridge.bias)), np.float32), *parts])


class RidgeTeacher:
    """A frozen teacher on signals: random convolutions and a ridge, with honest logits of its training windows.

    The ridge is fitted to all training windows, which it then knows nearly by heart; so the logits that a student
    learns from come from cross-fitting: of each window, from a model that never saw its subject. Scores become
    logits by one factor that calibrates the softmax of the cross-fitted scores. The penalty, one number, is chosen
    once on all training windows and shared by the folds, so that one factor fits both. The test part plays no role.

    Parameters
    ----------
    kind : {"minirocket", "hydra"}
    seed : int
        Of the transform and of the folds.
    folds : int
        Of cross-fitting.
    options : mapping of str to int, optional
        Of the transform: `n_features` of MiniRocket; `kernels` and `groups` of Hydra.

    Attributes
    ----------
    training_logits : ndarray of float32, shape (window, class)
        Cross-fitted, in the order of the training windows.
    report : tuple of Fold
        What each fold held out.
    factor : float
        Logits are scores times this.

    Raises
    ------
    UserError
        For an unknown kind or option.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels, groups = np.arange(40) % 2, np.array(["ann", "bob", "cyd", "dan"]).repeat(10)
    >>> values = rng.normal(size=(40, 1, 30)).cumsum(axis=2) * labels[:, None, None] + rng.normal(size=(40, 1, 30))
    >>> teacher = RidgeTeacher("minirocket", options={"n_features": 336}).fit(values, labels, groups)
    >>> teacher.training_logits.shape, teacher.logits(values[:3]).shape
    ((40, 2), (3, 2))
    """

    def __init__(
        self, kind: str = "minirocket", *, seed: int = 0, folds: int = 5, options: Mapping[str, int] | None = None
    ) -> None:
        self.kind, self.seed, self.folds, self.options = kind, seed, folds, dict(options or {})
        self.model = RidgeModel(self._transform(), self._head())
        self.shape = (0, 0)
        self.factor = 1.0
        self.training_logits = np.empty((0, 0), np.float32)
        self.report: tuple[Fold, ...] = ()

    def _transform(self) -> MiniRocket | Hydra:
        return make_transform(self.kind, self.seed, self.options)

    def _head(self, alphas: tuple[float, ...] = ALPHAS) -> RidgeHead:
        return RidgeHead(sparse=SPARSE[self.kind], alphas=alphas)

    def fit(self, values: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> RidgeTeacher:
        """Learn from training windows alone and return self.

        Parameters
        ----------
        values : ndarray, shape (window, channel, time)
            Finite.
        labels : ndarray of int64, shape (window,)
        groups : ndarray of str, shape (window,)
            The subject of each window.

        Raises
        ------
        UserError
            If shapes do not fit each other, samples are missing, windows are too short, or subjects are
            unknown or fewer than two.
        """
        values = np.asarray(values, dtype=np.float32)
        if values.ndim != 3 or not len(values) == len(labels) == len(groups):
            raise UserError(
                f"values {values.shape}, labels {np.shape(labels)} and groups {np.shape(groups)} do not fit: give "
                "(window, channel, time), (window,) and (window,)"
            )
        _check_finite(values, self.kind)
        classes = int(labels.max(initial=0)) + 1
        transform = self._transform().fit(values)
        features = transform.transform(values)
        head = self._head().fit(features, labels, classes)
        self.model, shared = RidgeModel(transform, head), (head.ridge.alpha,)
        if transform.learns:
            del features  # large, and each fold makes its own
            scores, self.report = cross_fitted_logits(
                values,
                labels,
                groups,
                lambda: RidgeModel(self._transform(), self._head(shared)),
                self.folds,
                self.seed,
            )
        else:
            scores, self.report = cross_fitted_logits(
                features, labels, groups, lambda: self._head(shared), self.folds, self.seed
            )
        self.factor = calibrating_factor(scores, labels)
        self.training_logits = np.float32(self.factor) * scores
        self.shape = (values.shape[1], values.shape[2])
        return self

    def logits(self, values: np.ndarray) -> np.ndarray:
        """Return the logits (window, class), float32, of other windows, by the model fitted to all training windows.

        Raises
        ------
        UserError
            If windows have not the channels and samples of the training windows, or samples are missing.
        """
        values = np.asarray(values, dtype=np.float32)
        if values.shape[1:] != self.shape:
            raise UserError(
                f"windows {values.shape} do not fit the teacher '{self.kind}', which was fitted to (window, {self.shape[0]}, "
                f"{self.shape[1]}): give windows of the same channels and length"
            )
        _check_finite(values, self.kind)
        return np.float32(self.factor) * self.model.scores(values)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Return all there is to keep, as `safetensors.numpy.save` takes it: arrays by name, and metadata.

        Predictions of `from_state` are the same to the bit.
        """
        ridge, scaling = self.model.head.ridge, self.model.head.scaling
        arrays = {f"transform.{name}": array for name, array in self.model.transform.state().items()}
        arrays |= {"mean": scaling.mean, "spread": scaling.spread, "weight": ridge.weight, "bias": ridge.bias}
        arrays["training_logits"] = self.training_logits
        about = {name: getattr(self, name) for name in ("kind", "seed", "folds", "options", "shape", "factor")}
        about |= {"alpha": ridge.alpha, "report": [asdict(fold) for fold in self.report]}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}, {METADATA: json.dumps(about)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> RidgeTeacher:
        """Return the teacher that `state` was taken of.

        Raises
        ------
        UserError
            If this is no state of such a teacher.
        """
        try:
            about = json.loads(metadata[METADATA])
            teacher = cls(about["kind"], seed=about["seed"], folds=about["folds"], options=about["options"])
            prefix = "transform."
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            teacher.model.transform.restore(own)
            head = teacher.model.head
            head.scaling = Scaling(mean=arrays["mean"], spread=arrays["spread"], sparse=head.sparse)
            head.ridge = Ridge(weight=arrays["weight"], bias=arrays["bias"], alpha=about["alpha"])
            teacher.training_logits, teacher.factor = arrays["training_logits"], about["factor"]
            teacher.shape = (about["shape"][0], about["shape"][1])
            teacher.report = tuple(
                Fold(**fold | {"groups": tuple(fold["groups"]), "absent": tuple(fold["absent"])})
                for fold in about["report"]
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise UserError(
                f"this is no state of a random-convolution teacher ({type(error).__name__}: {error}): give the arrays and the "
                "metadata that `state` returned"
            ) from error
        return teacher


def _check_finite(values: np.ndarray, kind: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
    if len(bad):
        raise UserError(
            f"window {bad[0]} has a sample that is missing or not finite, and {kind} needs them all: fill gaps or leave such "
            "windows out"
        )
