"""Random convolutions with a ridge, as teachers on signals: MiniRocket and Hydra."""

from distill.rocket.crossfit import Fold, cross_fitted_logits
from distill.rocket.hydra import Hydra
from distill.rocket.minirocket import MiniRocket
from distill.rocket.teacher import KINDS, RidgeTeacher, make_transform

__all__ = ["KINDS", "Fold", "Hydra", "MiniRocket", "RidgeTeacher", "cross_fitted_logits", "make_transform"]
