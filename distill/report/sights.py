"""Sections with windows drawn: one of each class, those on which teacher and student disagree, and how alike all are seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from distill.report.examples import colour_key, disagreements, draw_example, examples_by_class
from distill.report.networks import similarities
from distill.report.page import Section
from distill.report.parts import Chart, Charts, Prose
from distill.report.similarity import similarity_maps
from distill.report.study import Study
from distill.report.tables import SortableTable
from distill.views import View
from tsimage.imager import Imager

PER_KIND = 2
"""Windows drawn of each kind of disagreement."""
ALIKE = 12
"""Windows of each class in the similarity maps."""


def examples(study: Study) -> Section:
    """Draw one window of each class with its images."""
    title = "Windows and their images"
    if study.windows is None:
        return Section(title=title, parts=(Prose(content=study.why_not, notice=True),))
    imager, windows = _imager(study), study.windows
    chosen = study.positions[examples_by_class(study.labels)]
    charts = tuple(
        Chart(
            figure=draw_example(windows, int(place), imager),
            title=windows.class_names[windows.labels[place]],
            facts=_facts(study, int(place)),
        )
        for place in chosen
    )
    caption = f"A window of each class of the {study.record.run.evaluate} part, with its {imager.stack} images. {colour_key(windows)}"
    return Section(title=title, parts=(Charts(charts=charts, caption=caption),))


def disagreement(study: Study) -> Section:
    """Count the windows of which teachers and student say different classes, and draw some."""
    student = next(row for row in study.rows.values() if row.role == "student")
    seed = min(student.seeds)
    said = study.codes(student.said(seed)["said"].tolist())
    rows: list[tuple[str | int, ...]] = []
    drawn = None
    for name, row in study.teachers.items():
        theirs = study.codes(row.said(seed if seed in row.seeds else min(row.seeds))["said"].tolist())
        kinds = disagreements(study.labels, theirs, said)
        rows.append((name, *(len(places) for places in kinds.values()), int((theirs == said).sum())))
        drawn = drawn or (name, theirs, kinds)
    assert drawn is not None  # a run has a teacher
    first, theirs, kinds = drawn
    counts = SortableTable(
        columns=("teacher", *kinds, "both say the same"),
        rows=tuple(rows),
        caption=f"Windows of the {study.record.run.evaluate} part by what a teacher and the distilled student say, seed {seed}.",
    )
    title = "Where teacher and student disagree"
    if study.windows is None:
        return Section(title=title, parts=(counts, Prose(content=study.why_not, notice=True)))
    imager, names = _imager(study), study.classes
    charts = []
    for kind, places in kinds.items():
        for place in places[np.linspace(0, len(places) - 1, min(PER_KIND, len(places))).round().astype(int)]:
            facts = (
                ("true class", names[study.labels[place]]),
                (first, names[theirs[place]]),
                ("distilled student", names[said[place]]),
            )
            position = int(study.positions[place])
            charts.append(
                Chart(
                    figure=draw_example(study.windows, position, imager),
                    title=kind[0].upper() + kind[1:],
                    facts=(*facts, *_facts(study, position)),
                )
            )
    if not charts:
        return Section(title=title, parts=(counts, Prose(content=f"{first} and the student agree on every window.")))
    caption = f"Up to {PER_KIND} windows of each kind, evenly spaced among them, of {first} and the student, seed {seed}. {colour_key(study.windows)}"
    return Section(title=title, parts=(counts, Charts(charts=tuple(charts), caption=caption)))


def alike(study: Study, networks: Mapping[str, tuple[nn.Module, View]]) -> Section | None:
    """Draw how alike windows are to teachers and students; None where no network shows feature maps."""
    if study.windows is None or not networks:
        return None
    chosen = examples_by_class(study.labels, ALIKE)
    values = torch.from_numpy(study.windows.values[study.positions[chosen]])
    maps = similarities(networks, values)
    if not maps:
        return None
    figure = similarity_maps(maps, study.labels[chosen], study.classes)
    chart = Chart(figure=figure, title="Similarity of windows in the last stage")
    fold = " of the first fold" if study.record.run.folds else ""
    caption = (
        f"Up to {ALIKE} windows of each class of the {study.record.run.evaluate} part, against each other, by the feature maps of each "
        f"network{fold} with its first seed: F F^T, each row of norm 1, as the loss sp compares them (arXiv:1907.09682)."
    )
    return Section(title="What is alike to whom", parts=(Charts(charts=(chart,), caption=caption),))


def _imager(study: Study) -> Imager:
    """Return what paints the images of the first teacher on images; GASF where there is none."""
    assert study.plan is not None
    views = [row.view for row in study.teachers.values() if row.view != "signal"]
    imager = study.plan.view(views[0], study.plan.splits[0]).imager if views else None
    return imager or Imager(stack="gasf", size=min(study.record.run.image_size, study.plan.windows.length))


def _facts(study: Study, position: int) -> tuple[tuple[str, str], ...]:
    assert study.windows is not None
    who = str(study.windows.subjects[position])
    return (("window", str(study.windows.ids[position])), *((("subject", who),) if who else ()))
