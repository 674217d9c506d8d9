"""The loss of a run: refused before anything is trained, weighed as its table says, and stopped at a NaN."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import distill
from distill.assembly import teaching_of
from distill.plan import Plan
from distill.train import train
from tests.distill.tiny_runs import QUICK
from tsimage.errors import UserError


@pytest.mark.parametrize("weighing", ["fixed", "aver"])
def test_the_table_shows_the_weights_that_counted(people, tmp_path, weighing):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    result = distill.run(distill.Run(**QUICK, weighing=weighing), windows=own, folder=tmp_path / "run")
    rows = [line.split() for line in str(result).splitlines() if line.startswith(" teacher")]
    assert [row[2] for row in rows] == (["0.30", "0.70"] if weighing == "fixed" else ["varies", "varies"])
    about = json.loads((result.folder / "run.json").read_text())["teachers"]
    assert list(about.values()) == ([0.3, 0.7] if weighing == "fixed" else ["aver", "aver"])


def test_losses_that_cannot_work_are_refused_before_anything_is_trained(people, tmp_path, says):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    run = distill.Run(**QUICK, loss="kd+hint(stage=9)")
    with says("loss 'hint' takes stage 9 and the student has 3: give a stage from 1 to 3"):
        distill.run(run, windows=own, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_nan_in_what_a_live_teacher_shows_is_named(people, tmp_path):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    plan = Plan(distill.Run(**QUICK | {"teacher": ("wrn10-1:gasf",)}, loss="kd+rkd"), own, tmp_path / "x")
    samples = plan.samples(plan.splits[0].train)
    student = plan.build(plan.trainings()[-1], samples)

    def broken(index, values):
        teacher = plan.trainings()[0]
        shown = plan.build(teacher, samples).eval().trace(teacher.view.of(values)).detach()
        shown.embedding[index == 5] = torch.nan
        return shown

    lesson = teaching_of(plan.run, [broken])
    with pytest.raises(
        UserError, match=rf"the embeddings of teacher wrn10-1:gasf are not finite in windows {samples.ids[5]}:"
    ):
        train(student, plan.trainings()[-1].view, samples, plan.schedule, seed=0, teaching=lesson)
