"""What came of a comparison of models: a row for each, as a table or JSON."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

ROUNDS = 200
"""In each of which every model labels one window, in turn; the median counts."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One model in a comparison.

    Parameters
    ----------
    model : str
        Its file.
    accuracy, balanced_accuracy, macro_f1 : float
        From 0 to 1, as `distill.evaluate.metrics` has them.
    agreement : float
        Share of windows that get the same class as from the first model.
    familiar : int or None
        Windows of people that it was trained or chosen on; None where that is not known.
    bytes : int
        Of the file.
    microseconds : float
        Median time of one window in one thread.
    """

    model: str
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    agreement: float
    familiar: int | None
    bytes: int
    microseconds: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Models on the same windows.

    Parameters
    ----------
    data : str
    windows : int
    classes : tuple of str
    models : tuple of Compared
        In the order in which they were named.
    """

    data: str
    windows: int
    classes: tuple[str, ...]
    models: tuple[Compared, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        title = f"{self.data}: {self.windows:,} labelled windows of {len(self.classes)} classes"
        grid = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
        columns = ("model", "accuracy %", "balanced %", "macro-F1 %", "agreement %", "familiar", "bytes", "one window")
        for name in columns:
            grid.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
        for each in self.models:
            shares = (each.accuracy, each.balanced_accuracy, each.macro_f1, each.agreement)
            familiar = "?" if each.familiar is None else f"{each.familiar:,}"
            grid.add_row(
                each.model,
                *(f"{100 * s:.2f}" for s in shares),
                familiar,
                f"{each.bytes:,}",
                f"{each.microseconds:.0f} us",
            )
        text = io.StringIO()
        Console(file=text, width=10_000, color_system=None).print(grid)
        lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
        return "\n".join(
            [
                *lines,
                "",
                "Agreement is the share of windows with the same class as from the first model. Familiar are windows of people "
                "that a model was trained or chosen on (? where it is not known). One window: median of "
                f"{ROUNDS} rounds in one thread, each model once in every round.",
            ]
        )
