"""Knowledge distillation from image and signal teachers into small 1-D networks for wearables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.comparison import Comparison, compare_runs
    from distill.config import Run
    from distill.deploy.exporting import export_run
    from distill.estimator import DistilledClassifier
    from distill.grid_runner import run_grid
    from distill.gridfile import read_grid
    from distill.keeping import Keeping
    from distill.models import build_model
    from distill.progress import Plain
    from distill.records import read_records
    from distill.report.report import write_report
    from distill.runner import Result, run

_HOME = {
    "Comparison": "comparison",
    "DistilledClassifier": "estimator",
    "Keeping": "keeping",
    "Plain": "progress",
    "Result": "runner",
    "Run": "config",
    "build_model": "models",
    "compare_runs": "comparison",
    "export_run": "deploy.exporting",
    "read_grid": "gridfile",
    "read_records": "records",
    "run": "runner",
    "run_grid": "grid_runner",
    "write_report": "report.report",
}

__all__ = [
    "Comparison",
    "DistilledClassifier",
    "Keeping",
    "Plain",
    "Result",
    "Run",
    "build_model",
    "compare_runs",
    "export_run",
    "read_grid",
    "read_records",
    "run",
    "run_grid",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"distill.{_HOME[name]}"), name)
    raise AttributeError(f"module 'distill' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
