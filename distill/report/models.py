"""Sections about the models of one run: how they learnt, what they confuse, for whom they work, and whether they know it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from distill.calibration import reliability
from distill.report.curves import learning_curves
from distill.report.page import Section
from distill.report.parts import Chart, Charts, Prose
from distill.report.reliability import reliability_diagram
from distill.report.study import Study
from distill.report.subjects import accuracy_by_subject
from distill.report.tables import Confusions
from tsimage.errors import UserError


def learning(study: Study) -> Section:
    """Learning curves of all models and seeds, and of all folds."""
    frames, lacking = [], []
    for name, row in study.rows.items():
        for seed, scores in row.seeds.items():
            for training in scores["trainings"]:
                try:
                    history = study.record.history(training["weights_sha256"])
                except UserError as error:
                    lacking.append(f"{name}, seed {seed}: {error}.")
                    continue
                frames.append(history.assign(model=name, training=f"{seed} {training['fold']}"))
    notes = tuple(Prose(content=note, notice=True) for note in lacking[:1])
    history = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if not len(history):
        return Section(title="Learning curves", parts=notes)
    history["accuracy"] *= 100
    drawn = [("cross_entropy", "cross entropy with the labels"), ("accuracy", "accuracy on the training part, %")]
    if "validation_accuracy" in history:
        history["validation_accuracy"] *= 100
        drawn.append(("validation_accuracy", "accuracy on the part that decides when to stop, %"))
    charts = tuple(
        Chart(
            figure=learning_curves(history, quantity, label=label, models=study.looks),
            title=label[0].upper() + label[1:],
        )
        for quantity, label in drawn
    )
    caption = "Mean over trainings, and a band from the lowest to the highest. Numbers of the training part: none is of the test part."
    return Section(title="Learning curves", parts=(Charts(charts=charts, caption=caption), *notes))


def confusions(study: Study) -> Section:
    """Confusion matrices side by side, summed over seeds."""
    codes = np.arange(len(study.classes))
    counts = {}
    for name, row in study.rows.items():
        said = [study.codes(row.said(seed)["said"].tolist()) for seed in row.seeds]
        counts[name] = sum(confusion_matrix(study.labels, one, labels=codes) for one in said)
    seeds = len(study.record.run.seeds)
    note = f"Summed over {seeds} seeds, so each window counts {seeds} times." if seeds > 1 else "Of one seed."
    if seeds > 1 and study.record.run.shared_teachers:
        note += " The teachers are of one seed, so there each window counts once."
    return Section(
        title="Confusion matrices", parts=(Confusions(counts=counts, class_names=study.classes), Prose(content=note))
    )


def subjects(study: Study) -> Section | None:
    """Accuracy by subject; None where subjects are not known."""
    found = {}
    for name, row in study.rows.items():
        each = [scores["accuracy_by_subject"] for scores in row.seeds.values()]
        found[name] = {who: 100 * float(np.mean([one[who] for one in each])) for who in each[0]}
    frame = pd.DataFrame(found)
    if not len(frame):
        return None
    chart = Chart(figure=accuracy_by_subject(frame, models=study.looks), title="Accuracy in % by subject")
    caption = "Means over seeds; vertical lines: the mean over subjects, each counting alike."
    return Section(title="Accuracy by subject", parts=(Charts(charts=(chart,), caption=caption),))


def calibration(study: Study) -> Section:
    """Reliability diagrams of all models, over all seeds."""
    charts = []
    for name, row in study.rows.items():
        logits = np.concatenate([row.logits(seed) for seed in row.seeds])
        found = reliability(logits, np.tile(study.labels, len(row.seeds)))
        charts.append(Chart(figure=reliability_diagram(found, colour=study.looks[name].colour), title=name))
    caption = (
        "How often a model is right, by how sure it is; on the diagonal it is as often right as it says. Below, the windows. "
        "All seeds together; the table of results has the mean over seeds of the ECE."
    )
    return Section(title="Reliability", parts=(Charts(charts=tuple(charts), caption=caption),))
