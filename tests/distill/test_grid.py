"""Runs of a grid share their trainings, which come out as in each run alone; grids grow, and folders of others are refused."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest

import distill
from distill.grid import GridPlan, cells_of, home_of, join, prepare
from distill.progress import Progress
from distill.status import status
from distill.worker import Worker
from tests.distill.tiny_grids import RUN, TWO, described, do, ends, noted, planned, stamps
from tests.distill.tiny_runs import QUICK
from tsimage import load

KINDS = (
    RUN.replace('"wrn10-1"\nstudent', '"wrn10-1:gasf"\nstudent')
    .replace("epochs = 2", "epochs = 1")
    .replace('channels = ["acc*"]\n', "")
    .replace("[0]", "[0, 1]")
)
KINDS += """
[[grid]]
warm-start = [false, true]
[[grid]]
shared-teachers = true
[[grid]]
folds = "2"
[[grid]]
patience = 1
[[grid]]
protocol = "lab"
[[grid]]
teacher = "wrn10-1"
loss = "kd+sp(beta=10)"
weighing = "aver"
[[grid]]
teacher = ["hydra:signal"]
image-size = 32
[[grid]]
evaluate = "validation"
ema = 0.5
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A grid that nobody disturbed."""
    out = tmp_path_factory.mktemp("grids") / "whole"
    plan, _ = do(TWO, out)
    return plan


def by_role(folder, trainings):
    """Return the hash of the weights of each training of a run, by what it is."""
    found = Counter()
    for name in trainings:
        made = json.loads((folder / name / "training.json").read_text())
        found[made["role"], made["network"], made["view"], made["seed"], made["weights_sha256"]] += 1
    return found


def as_alone(plan, windows, folder):
    """See that every run of a grid came out as the same run does that is done by itself."""
    about = described(plan.folder)
    for number, (cell, entry) in enumerate(zip(plan.cells, about["runs"], strict=True)):
        alone = folder / f"alone-{number}"
        distill.run(cell.run, windows=windows, folder=alone)
        for name in ("result.json", "predictions.csv"):
            assert (plan.folder / entry["folder"] / name).read_bytes() == (alone / name).read_bytes(), cell.name
        own = [path.parent.relative_to(alone) for path in alone.rglob("training.json")]
        assert by_role(plan.folder, entry["trainings"]) == by_role(alone, own), cell.name


def test_what_runs_share_is_trained_once_and_each_run_is_as_alone(whole, tmp_path):
    assert (len(whole.jobs), whole.trainings_alone) == (5, 8)
    assert noted(whole.folder, "begins") == noted(whole.folder, "done") == sorted(described(whole.folder)["trainings"])
    assert noted(whole.folder, "result") == sorted(entry["folder"] for entry in described(whole.folder)["runs"])
    as_alone(whole, load("basic-motions", channels="acc*"), tmp_path)


@pytest.fixture
def long_people(make_windows):
    return make_windows(
        60, length=40, subjects=np.repeat(["ann", "bob", "cem", "dia", "eva"], 12), split=None, name="basic-motions"
    )


def test_every_kind_of_run_is_as_alone(long_people, tmp_path):
    plan, told = do(KINDS, tmp_path / "grid", long_people)
    assert not [line for line in told if "failed" in line]
    assert len(plan.jobs) < plan.trainings_alone
    as_alone(plan, long_people, tmp_path)


def test_a_run_is_not_named_by_what_is_not_given(tmp_path):
    plan = planned(
        f'{RUN}[[grid]]\naugment = ["", "jitter"]\nalpha = 0.2\n[[grid]]\nbalanced = true\n', tmp_path / "grid"
    )
    assert [cell.name for cell in plan.cells] == [
        "alpha 0.2, balanced false",
        "augment jitter, alpha 0.2, balanced false",
        "balanced true",
    ]


def test_windows_are_an_axis_like_any_other_and_nothing_of_other_windows_is_shared(tmp_path):
    text = RUN.replace('channels = ["acc*"]\n', "").replace('"wrn10-1"\nstudent', '"wrn10-1:gasf"\nstudent')
    plan = planned(f'{text}[[grid]]\nchannels = [["acc*"], ["gyro*"]]\n', tmp_path / "grid")
    assert len(plan.jobs) == plan.trainings_alone == 6
    assert [cell.windows.channels[0][:3] for cell in plan.plans] == ["acc", "gyr"]


def test_runs_that_say_the_same_in_other_words_share_everything(tmp_path):
    plan, _ = do(f"{RUN}[[grid]]\nalpha = 0.3\n[[grid]]\nbalanced = false\n", tmp_path / "grid")
    assert [cell.name for cell in plan.cells] == ["alpha 0.3", "as given in [run]"]
    assert len(plan.jobs) == 4
    first, second = (
        (plan.folder / run["folder"] / "result.json").read_bytes() for run in described(plan.folder)["runs"]
    )
    assert first == second


def test_a_second_start_does_nothing(whole):
    before = stamps(whole.folder)
    _, told = do(TWO, whole.folder)
    assert told == []
    assert stamps(whole.folder) == before


def test_a_grid_that_grows_trains_what_is_new_and_one_that_shrinks_keeps_all(tmp_path):
    do(f"{RUN}[[grid]]\nlambda = [0.3]\n", tmp_path / "grid")
    before = ends(tmp_path / "grid")
    plan = planned(TWO, tmp_path / "grid")
    assert prepare(plan) == 0
    Worker(plan, Progress()).work()
    after = ends(plan.folder)
    assert before.items() < after.items()
    assert len(noted(plan.folder, "done")) == 5
    assert prepare(planned(f"{RUN}[[grid]]\nlambda = [0.7]\n", tmp_path / "grid")) == 1
    assert len(described(plan.folder)["runs"]) == 1
    assert ends(plan.folder) == after


def test_a_process_that_takes_part_writes_nothing_of_what_is_to_be_done(whole, tmp_path):
    out = tmp_path / "grid"
    prepare(planned(f"{RUN}[[grid]]\nlambda = [0.3]\n", out))
    early = GridPlan(cells_of(out), out)
    prepare(planned(TWO, out))  # the grid grows between its look and its start
    join(early)
    assert len(described(out)["runs"]) == 2
    assert home_of(out).samefile(".")


def damaged(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_weights_that_were_damaged_stop_no_other_run_and_mended_the_run_is_evaluated(tmp_path, whole):
    out = tmp_path / "grid"
    plan, _ = do(TWO, out)
    first, second = (out / entry["folder"] for entry in described(out)["runs"])
    for folder in (first, second):
        (folder / "result.json").unlink()
    student = next(path for path, job in plan.jobs.items() if job.run == "lambda 0.3")
    damaged(student / "weights.safetensors")
    _, told = do(TWO, out)
    said = (
        f"evaluation of run 'lambda 0.3'  failed: '{student / 'weights.safetensors'}' is missing or not as it was written (its "
        f"sha256 differs): remove the folder '{student}' and run again to train it anew"
    )
    assert told == [said]
    assert (second / "result.json").exists()
    assert not (first / "result.json").exists()
    assert status(out).runs[0].error == said.partition("failed: ")[2]
    assert [run.state for run in status(out).runs] == ["failed", "done"]
    shutil.rmtree(student)
    do(TWO, out)
    assert [run.state for run in status(out).runs] == ["done", "done"]
    assert ends(out) == ends(whole.folder)


def test_a_teacher_taken_from_a_run_has_its_logits_apart_from_one_that_is_trained(tmp_path):
    windows = load("basic-motions", channels="acc*")
    earlier = distill.run(distill.Run(**QUICK), windows=windows, folder=tmp_path / "earlier").folder
    text = RUN.replace('teacher = "wrn10-1"\n', "")
    plan, _ = do(f'{text}[[grid]]\nteacher = ["wrn10-1:gasf", "wrn10-1:gasf@{earlier}"]\n', tmp_path / "grid")
    trained = {path.name for path in plan.jobs}
    found = {path.parent.name for path in (plan.folder / "trainings").glob("*/logits.safetensors")}
    assert len(found & trained) == 1
    assert [name.startswith("taken-wrn10-1-gasf-") for name in found - trained] == [True]


def test_a_folder_of_something_else_is_refused(tmp_path, says):
    out = tmp_path / "grid"
    plan = planned(TWO, out)
    out.write_text("")
    with says(f"'{out}' is a file: choose a folder"):
        prepare(plan)
    out.unlink()
    out.mkdir()
    (out / "thesis.doc").write_text("")
    with says(f"'{out}' is not empty and holds no grid: choose another folder"):
        prepare(plan)
    assert [path.name for path in out.iterdir()] == ["thesis.doc"]
    with says(f"'{out}' holds no grid: give the folder of one, or begin one with distill grid FILE"):
        cells_of(out)


@pytest.mark.parametrize("key", ["code_sha256", "torch"])
def test_trainings_of_other_code_are_refused_once_there_are_any(tmp_path, says, key):
    out = tmp_path / "grid"
    plan = planned(TWO, out)
    prepare(plan)
    about = described(out)
    now, about["environment"][key] = about["environment"][key], "older"
    (out / "grid.json").write_text(json.dumps(about))
    prepare(plan)
    (out / "grid.json").write_text(json.dumps(about))
    trained = out / "trainings" / "x" / "checkpoint.safetensors"
    trained.parent.mkdir(parents=True)
    trained.touch()
    refusal = (
        f"'{out}' holds trainings of {key} older, here it is {now}: one table must not mix them; choose another folder or "
        "remove it"
    )
    for begin in (prepare, join):
        with says(refusal):
            begin(plan)


def test_another_device_precision_or_windows_are_refused_by_whoever_takes_part(tmp_path, says):
    plan = planned(TWO, tmp_path / "grid")
    prepare(plan)
    plan.plans[1].precision = "bf16"
    with says(
        f"'{plan.folder}' holds run 'lambda 0.7' with precision fp32, here it is bf16: one table must not mix them; go on "
        "where it is fp32, or choose another folder and give precision in [run]"
    ):
        join(plan)
    plan.plans[0].fingerprint = "other"
    with says(
        f"'{plan.folder}' holds run 'lambda 0.3' on other windows than data 'basic-motions' has here: one table must not mix "
        "them; choose another folder or remove it"
    ):
        join(plan)
