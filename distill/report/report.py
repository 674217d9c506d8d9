"""A report on runs: one page with the table and everything that helps to judge it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from distill.report import models, origin, results, robustness, sights
from distill.report.networks import latencies, networks_of
from distill.report.page import Page, Section
from distill.report.parts import Prose
from distill.report.study import Study, study_of
from tsimage import atomic
from tsimage.errors import UserError
from tsimage.windows import Windows


def report(study: Study) -> Page:
    """Put the page of a study together; networks are run on a few windows for it, and timed on one.

    Parameters
    ----------
    study : Study
        As `distill.report.study.study_of` reads it.

    Returns
    -------
    Page

    Raises
    ------
    UserError
        If a file of a run is damaged.
    """
    networks, lacking = networks_of(study)
    latency = pd.DataFrame(columns=["median", "low", "high"])
    if networks and study.windows is not None:
        latency = latencies(networks, torch.from_numpy(study.windows.values[study.positions[:1]]))
    sections: list[Section | None] = [
        results.results(study),
        results.sweeps(study),
        _detail(study, lacking),
        models.learning(study),
        models.confusions(study),
        models.subjects(study),
        models.calibration(study),
        results.costs(study, latency, _machine()),
        sights.examples(study),
        sights.disagreement(study),
        sights.alike(study, networks),
        robustness.robustness(study),
        origin.certificate(study),
        origin.versions(study),
    ]
    return Page(
        title=f"{study.record.about['data']['name']}: what {study.record.run.student} learns from its teachers",
        lead=results.lead(study.comparison),
        sections=tuple(section for section in sections if section is not None),
    )


def write_report(
    folders: Sequence[str | Path],
    out: str | Path = "report.html",
    metric: str = "accuracy",
    baseline: str = "",
    detail: str = "",
    windows: Windows | None = None,
) -> Path:
    """Write a report on runs to one HTML file.

    Parameters
    ----------
    folders : sequence of str or Path
        Run directories, folders of grids, or folders of such.
    out : str or Path
        Ends in .html; its folder is made.
    metric, baseline : str
        See `distill.compare_runs`.
    detail : str
        The run whose models are shown, by a part of its name; by default the first that is finished.
    windows : Windows, optional
        In place of the data that the runs name.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    UserError
        For folders without a finished run, runs that do not belong into one table, a damaged file, or another name.
    """
    out = Path(out)
    if out.suffix not in (".html", ".htm"):
        raise UserError(f"'{out}' is not allowed: the name of the page must end in .html")
    page = report(study_of(folders, metric, baseline, detail, windows))
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(out, page.html().encode())
    return out


def _detail(study: Study, lacking: list[str]) -> Section | None:
    """Say which of several runs the sections that follow are about; None where there is one and nothing lacks."""
    parts = []
    if len({record.folder for row in study.comparison.rows for record in row.sources.values()}) > 1:
        chosen = ", the first that is finished; --detail NAME chooses another" if study.why_first else ""
        parts.append(Prose(content=f"From here on everything is about one run: {study.record.name}{chosen}."))
    parts += [Prose(content=sentence, notice=True) for sentence in lacking]
    return Section(title="The run in detail", parts=tuple(parts)) if parts else None


def _machine() -> str:
    return f"a CPU {platform.processor() or platform.machine()} with torch {torch.__version__}"
