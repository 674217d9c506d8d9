"""Sections about all runs of a report: the table, what the settings do, and what accuracy costs."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from distill.comparison import Comparison
from distill.formats import MARK, OPTIMISTIC, interval, plain
from distill.gridfile import in_words
from distill.notes import METRICS
from distill.options import words_of
from distill.report.costs import accuracy_by_cost
from distill.report.markup import Part
from distill.report.page import Section
from distill.report.parts import Chart, Charts, Prose
from distill.report.rank_diagram import draw_ranks
from distill.report.study import Study
from distill.report.sweeps import sweep_curves
from distill.report.tables import Cell, SortableTable
from distill.statistics import spread

SWEPT = {
    "alpha": "alpha, weight of the image teacher",
    "lambda": "lambda, weight of distillation",
    "temperature": "temperature T",
}
"""Settings whose sweeps are drawn, and what they are called there."""


def lead(comparison: Comparison) -> str:
    """Say in a sentence what was found."""
    frame = comparison.frame
    students = frame[(frame["role"] == "student") & (frame["n"] > 0)]
    name, part = METRICS[comparison.metric], comparison.rows[0].options["evaluate"]
    if not len(students):
        return "No student is finished yet."
    if len(students) == 1:
        row = students.iloc[0]
        text = f"{row['name']}{OPTIMISTIC if row['optimistic'] else ''}: {name} {_plain(row['mean'], row['sd'])} % on the {part} part"
        text += f" over {row['n']} seed{'s' if row['n'] > 1 else ''}"
        if row["pairs"]:
            text += f"; minus {row['baseline']}: {_plain(row['difference'], row['difference_sd'], sign=True)} points"
            between = interval(row["difference"], row["difference_ci95"], sign=True)
            text += f", 95 % interval {between}" if between else ", too few pairs for an interval"
        return f"{text}."
    low, high = students["mean"].min(), students["mean"].max()
    sets, optimistic = students["data"].nunique(), int(students["optimistic"].sum())
    text = f"{len(students)} distilled students{f' on {sets} data sets' if sets > 1 else ''}"
    text += f", {optimistic} of them optimistic," if optimistic else ""
    text += f" with {name} from {low:.2f} to {high:.2f} % on the {part} part"
    compared = students[students["pairs"] > 0]
    able = compared[compared["difference_ci95"].notna()]
    if len(able):
        above = int((able["difference"] - able["difference_ci95"] > 0).sum())
        below = int((able["difference"] + able["difference_ci95"] < 0).sum())
        text += (
            f"; of {len(able)} differences to the baseline with a 95 % interval, {above} lie above 0 and {below} below with all "
            "of it, not adjusted for their number"
        )
    elif len(compared):
        text += "; too few pairs for an interval of the differences to the baseline"
    return f"{text}."


def results(study: Study) -> Section:
    """The table of all models, its notes, and the critical-difference diagram where there is one."""
    comparison = study.comparison
    metric = METRICS[comparison.metric]
    others = [name for name in METRICS if name != comparison.metric]
    rows = []
    for row in comparison.frame.to_dict("records"):
        n = f"{row['n']}" + (f" of {row['n'] + len(row['missing'])}" if row["missing"] else "")
        agreement = list(row["agreement"].values())
        rows.append(
            (
                row["name"] + (OPTIMISTIC if row["optimistic"] else ""),
                Cell(shown=_plain(row["mean"], row["sd"]), value=row["mean"]),
                Cell(shown=n, value=row["n"]),
                Cell(shown=_plain(row["difference"], row["difference_sd"], sign=True), value=row["difference"]),
                Cell(shown=interval(row["difference"], row["difference_ci95"], sign=True), value=row["difference"]),
                Cell(shown="" if math.isnan(row["p_holm"]) else f"{row['p_holm']:.3f}", value=row["p_holm"]),
                *(Cell(shown=_plain(row[name], math.nan), value=row[name]) for name in others),
                Cell(shown=" / ".join(f"{a:.1f}" for a in agreement), value=agreement[0] if agreement else None),
                row["parameters"],
                row["macs"],
                row["bytes"],
                Cell(shown=" ".join(f"{value:.2f}" for value in row["seeds"].values()), value=row["mean"]),
            )
        )
    columns: tuple[str, ...] = ("model", metric, "n", "difference", "its 95 % interval", "p (Holm)")
    columns += (*(METRICS[name] for name in others), "agreement", "parameters", "MACs", "bytes", "by seed")
    kept = [i for i in range(len(columns)) if i == 0 or any(_has(row[i]) for row in rows)]
    table = SortableTable(
        columns=tuple(columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in rows),
        caption="All models; click on a title to sort.",
    )
    parts: list[Part] = [table, Prose(content="\n\n".join(comparison.notes).replace(MARK, "\N{PLUS-MINUS SIGN}"))]
    if comparison.ranking is not None and 2 < len(comparison.ranking.models) <= 25:
        drawing = Chart(figure=draw_ranks(comparison.ranking), title="Critical-difference diagram")
        parts.append(Charts(charts=(drawing,)))
    return Section(title="Results", parts=tuple(parts))


def sweeps(study: Study) -> Section | None:
    """Curves over the settings that the runs differ in; None where there is none with two values."""
    charts = [chart for name in SWEPT if (chart := _sweep(study, name)) is not None]
    if not charts:
        return None
    caption = "Mean over seeds with its 95 % t interval as a band (none below three seeds); level line: the baseline."
    return Section(title="What the settings do", parts=(Charts(charts=tuple(charts), caption=caption),))


def _sweep(study: Study, option: str) -> Chart | None:
    comparison = study.comparison
    found = []
    students = comparison.frame[comparison.frame["role"] == "student"]
    several = students[["network", "data"]].nunique() > 1
    for row, about in zip(comparison.rows, comparison.frame.to_dict("records"), strict=True):
        value = row.differing.get(option)
        if row.role == "student" and row.seeds and isinstance(value, int | float):
            others = {name: other for name, other in row.differing.items() if name != option}
            words = [row.network] if several["network"] else []
            words += [in_words(others)] + ([f"on {row.data}"] if several["data"] else [])
            curve = ", ".join(filter(None, words)) or "distilled"
            found.append(
                {"curve": curve, "value": value, "mean": about["mean"], "ci95": about["ci95"], "of": about["baseline"]}
            )
    frame = pd.DataFrame(found)
    if not len(frame) or frame["value"].nunique() < 2:
        return None
    baselines = [row for row in comparison.frame.to_dict("records") if row["name"] in set(frame["of"])]
    baseline = (baselines[0]["mean"], baselines[0]["ci95"]) if len(baselines) == 1 else None
    name = baselines[0]["name"] if baselines else ""
    figure = sweep_curves(
        frame, label=SWEPT[option], baseline=baseline, baseline_name=name, logarithmic=option == "temperature"
    )
    return Chart(figure=figure, title=f"{METRICS[comparison.metric]} in % over {words_of(option)}")


def costs(study: Study, latency: pd.DataFrame, machine: str) -> Section:
    """Accuracy of the models in detail over parameters, multiply-accumulates, and the time of one window."""
    rows = list(_costs(study, latency))
    charts = []
    for cost, label in (
        ("parameters", "parameters"),
        ("macs", "multiply-accumulates of one window"),
        ("latency", "time of one window, ms"),
    ):
        found = pd.DataFrame(rows).rename(columns={cost: "cost"})
        if cost != "latency":
            found = found.drop(columns=["cost_low", "cost_high"])
        if found["cost"].notna().any():
            charts.append(
                Chart(
                    figure=accuracy_by_cost(found, label=label, models=study.looks), title=f"Accuracy in % over {label}"
                )
            )
    caption = "Error bars: 95 % t interval over seeds."
    if len(latency):
        caption += f" Time: median and quartiles of one window at a time in one thread, with painting its images, on {machine}."
    return Section(title="What accuracy costs", parts=(Charts(charts=tuple(charts), caption=caption),))


def _costs(study: Study, latency: pd.DataFrame) -> Iterator[dict[str, object]]:
    for name, row in study.rows.items():
        values = spread([100 * value for value in row.values("accuracy").values()])
        time = (
            latency.loc[name]
            if name in latency.index
            else pd.Series({"median": math.nan, "low": math.nan, "high": math.nan})
        )
        yield {
            "model": name,
            "accuracy": values["mean"],
            "error": values["ci95"],
            "parameters": row.about["parameters"],
            "macs": row.about["macs"],
            "latency": time["median"],
            "cost_low": time["low"],
            "cost_high": time["high"],
        }


def _plain(mean: float, sd: float, sign: bool = False) -> str:
    return plain(mean, sd, sign).replace(MARK, "\N{PLUS-MINUS SIGN}")


def _has(cell: object) -> bool:
    value = cell.value if isinstance(cell, Cell) else cell
    return value is not None and not (isinstance(value, float) and math.isnan(value))
