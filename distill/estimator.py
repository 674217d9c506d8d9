"""Distillation as a scikit-learn classifier: teachers and student are trained in `fit`, the student alone predicts."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from distill.config import Device, Optimizer, Precision
from distill.in_memory import distil
from distill.parameters import plan_of
from distill.prediction import predict
from distill.progress import Plain, Progress
from distill.rates import Course
from distill.views import View
from tsimage.errors import UserError
from tsimage.estimators import read_windows
from tsimage.policies import check_finite


class DistilledClassifier(ClassifierMixin, BaseEstimator):
    """A small 1-D network that learns from labels and from teachers on images or on the signal.

    `fit` trains the teachers and distils them into the student, as `distill.run` does for one seed; no file is written.
    Only the student is used after that, and it sees only the raw signal.

    X has a row for each window, shape (n, channel * T): all samples of the first channel, then all of the second and
    so on, as `windows.reshape(len(windows), -1)` lays them out. Arrays (n, channel, T) are taken as they are. Values are
    rounded to float32.

    Parameters that are options of `distill.Run` have their names, meaning, refusals and, but for `scaling`, defaults.

    Parameters
    ----------
    teacher : str or sequence of str
        NETWORK for its GASF teacher and its signal teacher, NETWORK:VIEW or NETWORK:VIEW=WEIGHT; see
        `distill.Run.teacher`. Teachers are always trained here, so that NETWORK@DIR is refused; `minirocket:signal` and
        `hydra:signal` need `groups` in `fit`.
    student : str
        Network of the student.
    lambda_, lambda_to : float
        Weight of distillation, 0 (labels only) to 1 (teachers only), and that of the last step where it moves.
    temperature, temperature_to : float, optional
        T > 0; by default the published one of the loss, 4 for kd; and that of the last step where it moves.
    loss, weighing : str
        What the student takes from its teachers, and how these are weighed.
    alpha : float, optional
        Weight of the image teacher, 1 - alpha that of the signal teacher, where there is one of each; 0.3 by default.
    image_size : int
        Side of the images in pixels. Windows of fewer samples T get images of side T.
    scaling : str
        Of Gramian fields: `window` by each window's own minimum and maximum; `fixed` (the default of a run), or with
        half-widths `fixed:g=4`, by a fixed physical range, which needs `units`.
    units : sequence of str, optional
        Unit of each channel.
    channels : sequence of str, optional
        Name of each channel, by which the augmentation rotation finds x, y and z; `ch0` and so on by default.
    n_channels : int, optional
        Channels in a row of X; by default 1, or as many as a three-dimensional X has.
    epochs : int
        Epochs of every training; the last one counts, unless `patience` keeps another.
    batch_size : int
        Largest batch, 2 or more.
    learning_rate : float
        The highest rate.
    weight_decay : float
    optimizer : {"sgd", "adamw"}
    course : {"auto", "cosine", "one-cycle", "steps", "constant"}
        How the learning rate goes; `auto` is cosine.
    warmup_epochs : int
        Epochs in which the rate rises to where its course begins.
    label_smoothing : float
        Share of a label's probability that all classes have in common; a smoothed teacher distils worse.
    balanced : bool
        Weigh classes in the cross entropy so that each counts alike.
    ema : float
        Keep running means of the weights, to which the mean so far counts this much in every step; 0 does not.
    augment : str
        Changes of training windows, as `jitter+mixup`.
    teaching : {"auto", "cached", "live"}
        Whether teachers are asked once about the windows as they are, or look at every batch.
    patience : int
        Stop every training after so many epochs without a better accuracy on validation subjects, who are taken out of what
        is trained on, and keep the best epoch; needs `groups` in `fit`. 0 trains to the end on everybody.
    random_state : int, RandomState or None
        An int is the seed of `distill.run`; a RandomState, or NumPy's own for None, is asked for one number. First weights,
        batches and augmentation follow from the seed and the row of each window: the same seed and the same rows in
        the same order give the same student to the bit, on one machine; another order of the rows gives another student.
    device : {"auto", "cuda", "mps", "cpu"}
        Where `fit` trains. The trained networks lie on the CPU, where the student predicts, so that a pickle can be opened
        anywhere.
    precision : {"auto", "bf16", "fp32"}
        Of training; auto takes bf16 where the hardware computes in it.
    verbose : bool or int
        Tell on standard output how training goes: a line for each network, and one each ten seconds.

    Attributes
    ----------
    classes_ : ndarray, shape (class,)
        Labels in order.
    student_ : Module
        Takes raw windows (n, channel, T) of float32 and returns logits (n, class).
    teachers_ : dict of Module or RidgeTeacher
        By NETWORK:VIEW; those of a signal take raw windows, those of images what `tsimage.Imager` paints.
    history_ : list of dict
        An epoch of the student each: its learning rate, the parts of its loss, its accuracy in training and, with
        `patience`, on validation subjects.
    kept_epoch_ : int
        The epoch, from 1, whose weights the student has.
    validation_groups_ : ndarray
        Those of `groups` that were validation subjects, whom nothing was trained on; empty without `patience`.
    n_channels_ : int
        Channels in a window.
    n_features_in_ : int
        Samples in a window, over all channels.
    feature_names_in_ : ndarray of str
        Names of the columns of X, where they all had one.

    Raises
    ------
    UserError
        For a parameter that is not allowed, rows that do not hold whole channels, values that are not finite, labels of
        a single class, `groups` that are needed and not given, or memory that does not suffice.
    DivergenceError
        A UserError: a loss or weight is no longer finite. A fit that fails leaves no student, nor that of an earlier fit.

    See Also
    --------
    distill.run : several seeds, splits by subject, and the comparison with the student that was trained alone

    Notes
    -----
    A cross-validation that does not know of subjects, as GridSearchCV does one by default, is too optimistic for people
    the student has never seen: give it `groups` and `sklearn.model_selection.GroupKFold`. With scikit-learn's metadata routing
    (`sklearn.set_config(enable_metadata_routing=True)`) the same groups reach `fit` too, which asks for them by itself.

    There is no `sample_weight`: batches are normalised over their windows, and some losses compare the windows of a batch,
    so that a window with the weight 2 would not be what the same window given twice is. `balanced` weighs classes. Nor is
    there a `warm_start`, by which scikit-learn means something else than a run does.

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

    __metadata_request__fit = {"groups": True}  # noqa: RUF012  scikit-learn reads it, where it routes metadata

    def __init__(
        self,
        teacher: str | Sequence[str] = "wrn28-3",
        *,
        student: str = "wrn16-1",
        lambda_: float = 0.7,
        lambda_to: float | None = None,
        temperature: float | None = None,
        temperature_to: float | None = None,
        loss: str = "kd",
        weighing: str = "fixed",
        alpha: float | None = None,
        image_size: int = 32,
        scaling: str = "window",
        units: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        n_channels: int | None = None,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 0.05,
        weight_decay: float = 1e-4,
        optimizer: Optimizer = "sgd",
        course: Course = "auto",
        warmup_epochs: int = 0,
        label_smoothing: float = 0.0,
        balanced: bool = False,
        ema: float = 0.0,
        augment: str = "",
        teaching: Literal["auto", "cached", "live"] = "auto",
        patience: int = 0,
        random_state: int | np.random.RandomState | None = 0,
        device: Device = "auto",
        precision: Precision = "auto",
        verbose: bool | int = False,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.lambda_ = lambda_
        self.lambda_to = lambda_to
        self.temperature = temperature
        self.temperature_to = temperature_to
        self.loss = loss
        self.weighing = weighing
        self.alpha = alpha
        self.image_size = image_size
        self.scaling = scaling
        self.units = units
        self.channels = channels
        self.n_channels = n_channels
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.course = course
        self.warmup_epochs = warmup_epochs
        self.label_smoothing = label_smoothing
        self.balanced = balanced
        self.ema = ema
        self.augment = augment
        self.teaching = teaching
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Train the teachers, and distil them into the student.

        Parameters
        ----------
        X : array-like, shape (n, channel * T) or (n, channel, T)
            Two windows or more.
        y : array-like, shape (n,)
            Label of each window, of two classes or more.
        groups : array-like, shape (n,), optional
            The subject of each window, for `patience` and for teachers of random convolutions, which are cross-fitted by
            subject. Nothing else looks at it.
        """
        if hasattr(self, "student_"):  # to which, if this fit fails, windows of its length would go
            delattr(self, "student_")
        values, y = self._windows(X, y, reset=True, min_samples=2)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise UserError(f"y holds only the class {classes[0]!s}: give windows of two classes or more")
        plan = plan_of(self.get_params(deep=False), values, labels, classes, groups)
        made = distil(plan, self._progress())
        stopping = plan.splits[0].stopping
        self.classes_ = classes
        self.n_channels_ = values.shape[1]
        self.student_ = made.student
        self.teachers_ = made.teachers
        self.history_ = made.history
        self.kept_epoch_ = made.kept_epoch
        self.validation_groups_ = np.array([]) if stopping is None else pd.unique(column_or_1d(groups)[stopping])
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

    def _progress(self) -> Progress:
        if not isinstance(self.verbose, bool | np.bool_ | Integral):
            raise UserError(
                f"verbose {self.verbose!r} is not allowed: give True or False, or a number, of which 0 is False"
            )
        return Plain(sys.stdout) if self.verbose else Progress()

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
