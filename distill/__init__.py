"""Knowledge distillation from image and signal teachers into small 1-D networks for wearables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.config import Run
    from distill.estimator import DistilledClassifier
    from distill.gridfile import read_grid
    from distill.keeping import Keeping
    from distill.models import build_model
    from distill.progress import Plain
    from distill.runner import Result, run
    from distill.worker import run_grid

_HOME = {
    "DistilledClassifier": "estimator",
    "Keeping": "keeping",
    "Plain": "progress",
    "Result": "runner",
    "Run": "config",
    "build_model": "models",
    "read_grid": "gridfile",
    "run": "runner",
    "run_grid": "worker",
}

__all__ = ["DistilledClassifier", "Keeping", "Plain", "Result", "Run", "build_model", "read_grid", "run", "run_grid"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"distill.{_HOME[name]}"), name)
    raise AttributeError(f"module 'distill' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
