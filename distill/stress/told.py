"""What became of a run under stress: as a table, in words, as curves, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from distill.notes import BY_FOLD
from distill.records import Record
from distill.report.theme import Looks
from distill.statistics import MIN_N
from distill.stress.comparing import compared, summary
from distill.stress.curves import stress_curves
from distill.stress.measuring import CLEAN
from distill.stress.registry import CONDITIONS
from distill.stress.wording import as_text


@dataclass(frozen=True, kw_only=True, eq=False)
class Stress:
    """What became of the models of a run under stress.

    Parameters
    ----------
    record : Record
        The run.
    frame : DataFrame
        Scores of every seed, see `distill.stress.measuring.measure`.
    about : mapping
        What else is kept: `seed` of the damage, `conditions` with the levels and the environment in which each was
        measured, `left_out` (conditions that are not for the windows of this run, and why), and `most_frequent`, the share
        of the evaluated windows that are of the most frequent class.
    was_measured : bool
        Whether nothing had to be measured, since all was there.
    """

    record: Record
    frame: pd.DataFrame
    about: Mapping[str, Any]
    was_measured: bool

    @property
    def seed(self) -> int:
        """Of the damage."""
        return int(self.about["seed"])

    @property
    def left_out(self) -> Mapping[str, str]:
        """Conditions that are not for the windows of this run, and why."""
        return dict(self.about["left_out"])

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each condition, level and model; see `distill.stress.comparing.compared`."""
        return compared(self.frame, self.record.test_to_train)

    @property
    def summary(self) -> str:
        """What hurts the distilled student most and least, in words."""
        return summary(self.frame)

    @property
    def conditions(self) -> list[str]:
        return [name for name in dict.fromkeys(self.frame["condition"]) if name != CLEAN]

    def figure(self, models: Looks | None = None) -> Figure:
        """Draw the curves; see `distill.stress.curves.stress_curves`."""
        return stress_curves(self.frame, models)

    def notes(self) -> list[str]:
        """Say what must be known to read the table, a sentence each."""
        result = self.record.result
        assert result is not None
        part, n = result["part"], int(self.table["n"].max())
        people = f" of {result['subjects']} subjects" if result["subjects"] else ""
        seeds = f"over {n} seed{'s' * (n > 1)}"
        notes = [
            f"Accuracy in % on the {part} part of {result['data']} ({result['windows'][part]:,} windows{people}), {seeds}; "
            + ("+- is the sample standard deviation (ddof 1)." if n >= MIN_N else f"no +- is given below n = {MIN_N}."),
            f"Whoever always says the most frequent class is right in {100 * self.about['most_frequent']:.2f} %.",
            "drop: points below the same model on undamaged windows.",
            *self._on_differences(),
        ]
        if result["protocol"] == "lab":
            notes.append("Optimistic: the epoch that is best on the evaluation part itself counts (protocol lab).")
        notes += [f"{name}: left out, for {why}." for name, why in self.left_out.items()]
        versions = {self.about["conditions"][name]["environment"]["code_sha256"] for name in self.conditions}
        if len(versions) > 1:
            notes.append(f"The conditions were measured by {len(versions)} versions of the code.")
        return notes + self._off()

    def _on_differences(self) -> Iterator[str]:
        """Say what differences are, and how far they carry."""
        found = self.table[self.table["baseline"] != ""]
        if found.empty:
            return
        trained_on = "control" in set(self.table["role"])
        trained = " (trained on: from scratch, for as long as the distilled)" if trained_on else ""
        by = (
            f"seed and fold, {BY_FOLD}"
            if self.record.run.folds
            else "seed, so that the interval is about another training and not about other people"
        )
        yield f"difference: distilled minus {found['baseline'].iloc[0]}{trained}, in points, paired by {by}."
        able = found[found["difference_ci95"].notna()]
        if len(able) > 1:
            above = int((able["difference"] > able["difference_ci95"]).sum())
            below = int((able["difference"] < -able["difference_ci95"]).sum())
            yield (
                f"Of the {len(able)} intervals of differences {above} are wholly above 0 and {below} wholly below; they are not "
                "adjusted for their number, and one in twenty does so by chance where nothing differs."
            )

    def _off(self) -> list[str]:
        """Say by how much undamaged windows were not answered as when the run was evaluated, if they were not."""
        assert self.record.result is not None
        then = {
            (model["role"], int(seed)): scores["accuracy"]
            for model in self.record.result["models"]
            for seed, scores in model["seeds"].items()
            if model["role"] != "teacher"
        }
        frame = self.frame[(self.frame["condition"] == CLEAN) & (self.frame["fold"] == "")]
        clean = frame[frame["role"] != "teacher"]
        off = [abs(row["accuracy"] - then[row["role"], row["seed"]]) for row in clean.to_dict("records")]
        if max(off, default=0.0) < 1e-9:
            return []
        return [
            f"Undamaged windows give up to {100 * max(off):.2f} points other than in the result, as on another device."
        ]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types; what is not known is null."""
        rows = [{name: _known(value) for name, value in row.items()} for row in self.table.to_dict("records")]
        return {
            "run": str(self.record.folder),
            "seed": self.seed,
            "most_frequent": 100 * self.about["most_frequent"],
            "conditions": {
                name: {"meaning": CONDITIONS[name].meaning, "source": CONDITIONS[name].source}
                for name in self.conditions
            },
            "left_out": dict(self.left_out),
            "rows": rows,
            "summary": self.summary,
            "notes": self.notes(),
        }

    def __str__(self) -> str:
        what = [f"{name}: {CONDITIONS[name].meaning}." for name in self.conditions]
        return "\n".join([as_text(self.table), *self.notes(), "", *what, "", self.summary])


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
