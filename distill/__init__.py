"""Knowledge distillation from image and signal teachers into small 1-D networks for wearables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.config import Run
    from distill.estimator import DistilledClassifier
    from distill.models import build_model
    from distill.progress import Plain
    from distill.runner import Result, run

_HOME = {
    "DistilledClassifier": "estimator",
    "Plain": "progress",
    "Result": "runner",
    "Run": "config",
    "build_model": "models",
    "run": "runner",
}

__all__ = ["DistilledClassifier", "Plain", "Result", "Run", "build_model", "run"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"distill.{_HOME[name]}"), name)
    raise AttributeError(f"module 'distill' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
