"""Distillation as a scikit-learn classifier: teachers and student are trained in `fit`, the student alone predicts."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from functools import partial
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from distill.assembly import augmenter_of, network_of, schedule_of, teaching_of
from distill.batching import Samples
from distill.config import Device, Optimizer, Run
from distill.device import choose_device, choose_precision, out_of_memory
from distill.prediction import predict
from distill.teacher_names import RIDGES
from distill.teaching import Speaker, asked_once, live
from distill.train import train
from distill.views import SIGNAL, View
from tsimage.errors import UserError
from tsimage.estimators import read_windows
from tsimage.fields import parse_stack
from tsimage.policies import check_finite


class DistilledClassifier(ClassifierMixin, BaseEstimator):
    """A small 1-D network that learns from labels and from teachers on images or on the signal.

    `fit` trains the teachers and distils them into the student, as `distill.run` does for one seed; no file is written.
    Only the student is used after that, and it sees only the raw signal.

    X has a row for each window, shape (n, channel * T): all samples of the first channel, then all of the second and
    so on, as `windows.reshape(len(windows), -1)` lays them out. Arrays (n, channel, T) are taken as they are. Values are
    rounded to float32.

    Parameters
    ----------
    teacher : str or sequence of str
        NETWORK for its GASF teacher and its signal teacher, NETWORK:VIEW or NETWORK:VIEW=WEIGHT; see
        `distill.Run.teacher`. Teachers are always trained here, so that NETWORK@DIR is refused.
    student : str
        Network of the student.
    lambda_ : float
        Weight of distillation, 0 (labels only) to 1 (teachers only).
    temperature : float, optional
        T > 0; by default the published one of the loss, 4 for kd.
    alpha : float, optional
        Weight of the image teacher, 1 - alpha that of the signal teacher, where there is one of each; 0.3 by default.
    loss, weighing : str
        What the student takes from its teachers, and how these are weighed; see `distill.Run`.
    image_size : int
        Side of the images in pixels. Windows of fewer samples T get images of side T.
    scaling : str
        Of Gramian fields: `window` by each window's own minimum and maximum; `fixed`, or with half-widths `fixed:g=4`, by
        a fixed physical range, which needs `units`.
    units : sequence of str, optional
        Unit of each channel.
    channels : sequence of str, optional
        Name of each channel, by which the augmentation rotation finds x, y and z; `ch0` and so on by default.
    n_channels : int, optional
        Channels in a row of X; by default 1, or as many as a three-dimensional X has.
    epochs : int
        Epochs of every training; the last one counts.
    batch_size : int
        Largest batch, 2 or more.
    learning_rate : float
        Rate of the first step; it falls along a half cosine to 0.0001.
    optimizer : {"sgd", "adamw"}
    augment : str
        Changes of training windows, as `jitter+mixup`; see `distill.Run.augment`.
    balanced : bool
        Weigh classes in the cross entropy so that each counts alike.
    random_state : int, RandomState or None
        An int is the seed of `distill.run`; a RandomState, or NumPy's own for None, is asked for one number. First weights,
        batches and augmentation follow from the seed and the row of each window: the same seed and the same rows in
        the same order give the same student to the bit, on one machine; another order of the rows gives another student.
    device : {"auto", "cuda", "mps", "cpu"}
        Where `fit` trains, in bf16 where the hardware computes in it. The trained networks lie on the CPU, where the
        student predicts, so that a pickle can be opened anywhere.

    Attributes
    ----------
    classes_ : ndarray, shape (class,)
        Labels in order.
    student_ : Module
        Takes raw windows (n, channel, T) of float32 and returns logits (n, class).
    teachers_ : dict of Module
        By NETWORK:VIEW; those of a signal take raw windows, those of images what `tsimage.Imager` paints.
    history_ : list of dict
        An epoch of the student each: its learning rate, the parts of its loss, its accuracy in training.
    n_channels_ : int
        Channels in a window.
    n_features_in_ : int
        Samples in a window, over all channels.
    feature_names_in_ : ndarray of str
        Names of the columns of X, where they all had one.

    Raises
    ------
    UserError
        For a parameter that is not allowed, rows that do not hold whole channels, values that are not finite, or labels of
        a single class.

    See Also
    --------
    distill.run : several seeds, splits by subject, and the comparison with the student that was trained alone

    Notes
    -----
    A cross-validation that does not know of subjects, as GridSearchCV does one by default, is too optimistic for people
    the student has never seen: give it `groups` and `sklearn.model_selection.GroupKFold`.

    Examples
    --------
    >>> import tsimage
    >>> windows = tsimage.load("basic-motions")
    >>> train, test = windows.split == "train", windows.split == "test"
    >>> model = DistilledClassifier("wrn10-1", student="wrn10-1", image_size=16, epochs=10, batch_size=16)
    >>> _ = model.fit(windows.values[train], windows.labels[train])
    >>> bool(model.score(windows.values[test], windows.labels[test]) > 0.8)
    True
    """

    def __init__(
        self,
        teacher: str | Sequence[str] = "wrn16-1",
        *,
        student: str = "wrn16-1",
        lambda_: float = 0.7,
        temperature: float | None = None,
        alpha: float | None = None,
        loss: str = "kd",
        weighing: str = "fixed",
        image_size: int = 32,
        scaling: str = "window",
        units: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        n_channels: int | None = None,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 0.05,
        optimizer: Optimizer = "sgd",
        augment: str = "",
        balanced: bool = False,
        random_state: int | np.random.RandomState | None = 0,
        device: Device = "auto",
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.lambda_ = lambda_
        self.temperature = temperature
        self.alpha = alpha
        self.loss = loss
        self.weighing = weighing
        self.image_size = image_size
        self.scaling = scaling
        self.units = units
        self.channels = channels
        self.n_channels = n_channels
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.augment = augment
        self.balanced = balanced
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any) -> Self:
        """Train the teachers, and distil them into the student.

        Parameters
        ----------
        X : array-like, shape (n, channel * T) or (n, channel, T)
            Two windows or more.
        y : array-like, shape (n,)
            Label of each window, of two classes or more.
        """
        values, y = self._windows(X, y, reset=True, min_samples=2)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise UserError(f"y holds only the class {classes[0]!s}: give windows of two classes or more")
        _, channels, length = values.shape
        run = self._run(length)
        units = self._of_channels("units", channels) or ("",) * channels
        names = self._of_channels("channels", channels) or tuple(f"ch{k}" for k in range(channels))
        teachers = run.teachers()
        views = {teacher.view: _view(run, teacher.view, values, units) for teacher in teachers}
        signal = View(imager=None, units=units)
        device = choose_device(run.device)
        samples = Samples(
            values=torch.from_numpy(values).to(device),
            labels=torch.from_numpy(labels.astype(np.int64)).to(device),
            ids=np.arange(len(values)).astype(str),
        )
        seed, schedule, precision = run.seeds[0], schedule_of(run), choose_precision(run.precision, device)
        augmenter = augmenter_of(run, samples, names, units, seed)
        made: dict[str, torch.nn.Module] = {}
        speakers: list[Speaker] = []
        history: list[dict[str, float]] = []
        with out_of_memory():
            for teacher in teachers:
                view = views[teacher.view]
                model = network_of(teacher.network, view, samples, classes=len(classes), seed=seed, is_teacher=True)
                train(model, view, samples, schedule, seed=seed, augmenter=augmenter, precision=precision)
                made[teacher.name] = model.requires_grad_(False).eval()
                ask = partial(asked_once, values=samples.values, embeddings=run.compares_embeddings)
                speakers.append((live if run.is_live else ask)(model, view))
            student = network_of(run.student, signal, samples, classes=len(classes), seed=seed, is_teacher=False)
            train(
                student,
                signal,
                samples,
                schedule,
                seed=seed,
                teaching=teaching_of(run, speakers),
                augmenter=augmenter,
                precision=precision,
                on_epoch=history.append,
            )
        self.classes_ = classes
        self.n_channels_ = channels
        self.student_ = student.requires_grad_(False).eval().cpu()
        self.teachers_ = {name: model.cpu() for name, model in made.items()}
        self.history_ = history
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, the softmax of the student's logits.

        Parameters
        ----------
        X : array-like, shape (n, channel * T) or (n, channel, T)
            Windows of the same channels and length as in `fit`.

        Returns
        -------
        ndarray of float64, shape (n, class)
            In the order of `classes_`; each row sums to 1.
        """
        return softmax(self._logits(X), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each window; X as in `predict_proba`."""
        best = self._logits(X).argmax(axis=1)
        return self.classes_[best]

    def __sklearn_is_fitted__(self) -> bool:
        # scikit-learn would otherwise take the parameter lambda_ for something that was learnt.
        return hasattr(self, "student_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _logits(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        values, _ = self._windows(X, reset=False)
        signal = View(imager=None, units=("",) * self.n_channels_)
        # In float32 a window's logits would change in the last digits with the number of windows beside it.
        student = copy.deepcopy(self.student_).double()
        return predict(student, signal, torch.from_numpy(values).double()).double().numpy()

    def _windows(self, X: Any, y: Any = "no_validation", *, reset: bool, min_samples: int = 1) -> tuple[Any, Any]:
        """Return X as windows (n, channel, T) of float32 that are nobody else's, and y."""
        windows, y = read_windows(self, X, y, reset=reset, min_samples=min_samples)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is named
            values = np.array(windows, dtype=np.float32)
        check_finite(values, [str(channel) for channel in range(values.shape[1])])
        return values, y

    def _run(self, length: int) -> Run:
        """Return the run that these parameters mean for windows of `length` samples, checked."""
        teacher: Any = self.teacher  # of any type still: a run tells what is allowed
        options: dict[str, Any] = {"image_size": self.image_size, "scaling": self.scaling}
        views = [named.view for named in Run(teacher=teacher).teachers()]
        layers = [layer for view in views if view != SIGNAL for layer in parse_stack(view)]
        if layers and isinstance(self.image_size, Integral):
            options["image_size"] = min(int(self.image_size), length)
        # A run refuses a scaling that has no effect; here `window` is no more than the default.
        if self.scaling == "window" and not any(layer.field.scaled for layer in layers):
            del options["scaling"]
        run = Run(
            teacher=teacher,
            student=self.student,
            lambda_=self.lambda_,
            temperature=self.temperature,
            alpha=self.alpha,
            loss=self.loss,
            weighing=self.weighing,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            augment=self.augment,
            balanced=self.balanced,
            seeds=(_seed(self.random_state),),
            device=self.device,
            **options,
        )
        for named in run.teachers():
            if named.network in RIDGES:
                raise UserError(
                    f"teacher {named.name} is cross-fitted by subject, and fit is not told of subjects: name another network, "
                    "as wrn16-1, or use distill.run"
                )
            if named.source:
                raise UserError(
                    f"teacher {named.name}@{named.source} comes from an earlier run, but DistilledClassifier trains all its "
                    f"teachers: give {named.name}, or use distill.run"
                )
        return run

    def _of_channels(self, what: str, channels: int) -> tuple[str, ...] | None:
        given = getattr(self, what)
        if given is None:
            return None
        if (
            isinstance(given, str)
            or not isinstance(given, Iterable)
            or not all(isinstance(name, str) for name in given)
        ):
            raise UserError(
                f"{what} {given!r} are not allowed: give a list of texts, one for each of {channels} channels"
            )
        names = tuple(map(str, given))
        if len(names) != channels:
            raise UserError(f"{len(names)} {what} for {channels} channels: give one for each channel")
        return names


def _seed(random_state: Any) -> int:
    """Return an int as it is, and the next number of anything else that scikit-learn takes for a random state."""
    try:
        numbers = check_random_state(random_state)
    except ValueError as error:
        raise UserError(
            f"random_state {random_state!r} is not allowed: give a whole number from 0 to 2**32 - 1, a numpy.random.RandomState "
            "or None"
        ) from error
    return int(random_state) if isinstance(random_state, Integral) else int(numbers.randint(2**31 - 1))


def _view(run: Run, name: str, values: np.ndarray, units: tuple[str, ...]) -> View:
    """Return a view of the training windows; what images learn, they learn from these."""
    imager = run.imager(name)
    if imager is not None:
        imager.check(values.shape[2], units)
        imager = imager.fit(values) if imager.needs_fit else imager
    return View(imager=imager, units=units)
