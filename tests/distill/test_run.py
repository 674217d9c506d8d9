import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import distill
from distill.estimate import estimate
from distill.plan import Plan
from distill.progress import Plain, Progress
from distill.runner import execute
from distill.teachers import cached_logits
from distill.views import View
from tsimage import Imager, load
from tsimage.errors import UserError

QUICK = {
    "teacher": ("wrn10-1",),
    "student": "wrn10-1",
    "image_size": 8,
    "epochs": 2,
    "precision": "fp32",
    "device": "cpu",
}


class Stop(Progress):
    """Interrupts a run when the n-th training begins, as a kill would."""

    def __init__(self, at):
        self.left = at
        self.begun = []

    def begin(self, title, epochs):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        self.begun.append(title)


@pytest.fixture(scope="module")
def windows():
    return load("basic-motions", channels="acc*")


@pytest.fixture(scope="module")
def finished(windows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return distill.run(distill.Run(**QUICK), windows=windows, folder=folder)


def weights(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("weights.safetensors"))}


def test_a_run_leaves_everything_that_it_was(finished, windows):
    folder = finished.folder
    about = json.loads((folder / "run.json").read_text())
    assert about["run"]["lambda"] == 0.7
    assert about["teachers"] == {"wrn10-1:gasf": 0.3, "wrn10-1:signal": 0.7}
    assert about["data"]["windows_sha256"] == windows.fingerprint()
    assert about["split"]["parts"]["train"]["windows"] == 40
    assert about["environment"]["torch"] == torch.__version__
    trainings = sorted(str(p.parent.relative_to(folder)) for p in folder.rglob("training.json"))
    assert trainings == sorted(
        f"seed-{seed}/{name}"
        for seed in range(3)
        for name in ("teacher-wrn10-1-gasf", "teacher-wrn10-1-signal", "scratch-wrn10-1", "student-wrn10-1")
    )
    history = (folder / "seed-1" / "student-wrn10-1" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == [1, 2]
    assert {"loss", "cross_entropy", "kd", "kd_0", "kd_1", "accuracy", "learning_rate"} <= set(json.loads(history[0]))
    assert not list(folder.rglob("*.partial"))


def test_results_are_those_of_the_predictions_that_were_stored(finished, windows):
    import pandas as pd

    predictions = pd.read_csv(finished.folder / "predictions.csv", dtype=str)
    assert predictions["window"].tolist() == windows.ids[windows.split == "test"].tolist()
    frame = finished.table()
    assert frame["role"].tolist() == ["teacher", "teacher", "scratch", "student"]
    for _, row in frame.iterrows():
        for seed, accuracy in row["seeds"].items():
            column = predictions[f"{row['role']} {row['network']}:{row['view']} seed {seed}"]
            assert 100 * (column == predictions["label"]).mean() == pytest.approx(accuracy)
    student = frame.iloc[3]
    paired = [student["seeds"][s] - frame.iloc[2]["seeds"][s] for s in student["seeds"]]
    assert student["difference"] == pytest.approx(np.mean(paired))


def test_the_student_is_a_one_dimensional_network_on_raw_windows(finished, windows):
    state = load_file(finished.folder / "seed-0" / "student-wrn10-1" / "weights.safetensors")
    assert state["1.stem.weight"].shape == (16, 3, 3)
    train = windows.values[windows.split == "train"].astype(np.float64)
    np.testing.assert_allclose(state["0.mean"].numpy()[:, 0], train.mean(axis=(0, 2)), rtol=1e-5)
    np.testing.assert_allclose(state["0.std"].numpy()[:, 0], train.std(axis=(0, 2)), rtol=1e-5)


def test_scratch_and_student_of_a_seed_start_alike_and_teachers_do_not(windows, tmp_path):
    plan = Plan(distill.Run(**QUICK), windows, tmp_path / "run")
    samples = plan.samples(plan.splits[0].train)
    scratch = plan.build(plan.student_training("scratch", plan.splits[0], 0), samples).state_dict()
    student = plan.build(plan.student_training("student", plan.splits[0], 0), samples).state_dict()
    teacher = plan.build(plan.teacher_training(plan.teachers[1], plan.splits[0], 0), samples).state_dict()
    assert all(torch.equal(scratch[k], student[k]) for k in scratch)
    assert not torch.equal(teacher["1.stem.weight"], student["1.stem.weight"])
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_only_read(finished, windows):
    before = {p: p.stat().st_mtime_ns for p in finished.folder.rglob("*")}
    again = distill.run(distill.Run(**QUICK), windows=windows, folder=finished.folder)
    assert again.was_finished
    assert not finished.was_finished
    assert str(again) == str(finished)
    assert {p: p.stat().st_mtime_ns for p in finished.folder.rglob("*")} == before


@pytest.mark.parametrize("at", [0, 1, 3, 7, 11])
def test_an_interrupted_run_continues_to_the_same_end(finished, windows, tmp_path, at):
    folder = tmp_path / "run"
    run = distill.Run(**QUICK)
    first, second = Stop(at), Stop(99)
    with pytest.raises(KeyboardInterrupt):
        execute(Plan(run, windows, folder), first)
    assert not (folder / "result.json").exists()
    result = execute(Plan(run, windows, folder), second)
    assert len(first.begun) + len(second.begun) == 12
    assert not set(first.begun) & set(second.begun)
    assert weights(folder) == weights(finished.folder)
    assert result.content == finished.content


def test_shared_teachers_are_trained_once_and_counted_once(windows, tmp_path):
    result = distill.run(distill.Run(**QUICK, shared_teachers=True), windows=windows, folder=tmp_path / "run")
    teachers = sorted(p.parent.name for p in (tmp_path / "run" / "shared").rglob("training.json"))
    assert teachers == ["teacher-wrn10-1-gasf", "teacher-wrn10-1-signal"]
    frame = result.table()
    assert frame["n"].tolist() == [1, 1, 3, 3]
    assert np.isnan(frame["sd"][0])
    assert not np.isnan(frame["sd"][3])


def test_a_network_of_one_size_gets_the_size_of_each_view_and_others_teach_too(windows, tmp_path):
    teachers = ("patch:gasf", "patch:signal", "resnet18:mtf")
    run = distill.Run(
        **QUICK | {"teacher": teachers, "student": "se10-1-gn", "epochs": 1, "image_size": 10}, seeds=(0,)
    )
    result = distill.run(run, windows=windows, folder=tmp_path)
    assert [m["network"] for m in result.content["models"]] == ["patch", "patch", "resnet18", "se10-1-gn", "se10-1-gn"]
    image, signal = (
        load_file(tmp_path / "seed-0" / f"teacher-patch-{view}" / "weights.safetensors") for view in ("gasf", "signal")
    )
    assert image["positions"].shape == (1, 3 * 3, 64)  # 10 x 10 pixels in patches of 4
    assert signal["1.positions"].shape == (1, 13, 64)  # 100 samples, a patch each 8


def test_lambda_zero_gives_the_student_from_scratch_to_the_bit(windows, tmp_path):
    distill.run(distill.Run(**QUICK, lambda_=0.0, seeds=(0,)), windows=windows, folder=tmp_path)
    scratch, student = (
        load_file(tmp_path / "seed-0" / f"{role}-wrn10-1" / "weights.safetensors") for role in ("scratch", "student")
    )
    assert all(torch.equal(scratch[k], student[k]) for k in scratch)


def test_permuted_test_labels_change_nothing_but_the_final_numbers(finished, windows, tmp_path):
    labels = windows.labels.copy()
    test = np.flatnonzero(windows.split == "test")
    labels[test] = np.roll(labels[test], 13)
    result = distill.run(distill.Run(**QUICK), windows=replace(windows, labels=labels), folder=tmp_path)
    assert weights(tmp_path) == weights(finished.folder)
    assert result.content["models"] != finished.content["models"]


def test_test_samples_change_no_scaler_and_no_weight(finished, windows, tmp_path):
    values = windows.values.copy()
    values[windows.split == "test"] += 1e6
    distill.run(distill.Run(**QUICK), windows=replace(windows, values=values), folder=tmp_path)
    assert weights(tmp_path) == weights(finished.folder)


def test_validation_never_looks_at_the_test_part(windows, tmp_path):
    run = distill.Run(**QUICK, evaluate="validation", seeds=(0,))
    a = distill.run(run, windows=windows, folder=tmp_path / "a")
    values = windows.values.copy()
    values[windows.split == "test"] = np.random.default_rng(0).normal(size=values[windows.split == "test"].shape)
    b = distill.run(run, windows=replace(windows, values=values), folder=tmp_path / "b")
    assert a.content == b.content
    assert a.content["part"] == "validation"


def test_another_run_or_other_data_in_the_folder_is_refused(finished, windows):
    with pytest.raises(UserError) as error:
        distill.run(distill.Run(**QUICK, temperature=2.0), windows=windows, folder=finished.folder)
    assert str(error.value) == (
        f"'{finished.folder}' holds another run, with other options (temperature): choose another folder or remove it"
    )
    with pytest.raises(UserError, match="holds another run, with other data: choose"):
        distill.run(distill.Run(**QUICK), windows=windows.select(np.arange(79)), folder=finished.folder)


def test_a_folder_with_other_things_is_not_touched(windows, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    (tmp_path / ".download.partial").write_text("precious")
    with pytest.raises(UserError, match="is not empty and holds no run"):
        distill.run(distill.Run(**QUICK), windows=windows, folder=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"thesis.txt", ".download.partial"}


def test_changed_weights_are_found_and_named(windows, tmp_path):
    run = distill.Run(**QUICK, seeds=(0,))
    with pytest.raises(KeyboardInterrupt):
        execute(Plan(run, windows, tmp_path), Stop(2))
    path = tmp_path / "seed-0" / "teacher-wrn10-1-gasf" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"teacher-wrn10-1-gasf/weights.safetensors' is missing or not as it was written"
    ):
        execute(Plan(run, windows, tmp_path), Progress())


def test_cached_logits_serve_only_their_teacher_view_and_windows(tmp_path):
    class Counting(torch.nn.Module):
        calls = 0

        def forward(self, x):
            Counting.calls += 1
            return x.flatten(1)[:, :2]

    values, ids = torch.randn(5, 2, 16), np.array(list("abcde"))
    signal = View(imager=None, units=("g", "g"))
    images = View(imager=Imager(size=8), units=("g", "g"))
    path = tmp_path / "logits.safetensors"
    first = cached_logits(path, Counting(), "sha", signal, values, ids)
    assert torch.equal(cached_logits(path, Counting(), "sha", signal, values, ids), first)
    assert Counting.calls == 1
    cached_logits(path, Counting(), "other", signal, values, ids)
    cached_logits(path, Counting(), "other", images, values, ids)
    cached_logits(path, Counting(), "other", images, values.flip(0), ids[::-1])
    assert Counting.calls == 4
    path.write_bytes(path.read_bytes()[:20])
    cached_logits(path, Counting(), "other", images, values.flip(0), ids[::-1])
    assert Counting.calls == 5


def test_images_larger_than_windows_are_refused_before_anything_is_written(windows, tmp_path):
    with pytest.raises(UserError) as error:
        distill.run(distill.Run(**QUICK | {"image_size": 128}), windows=windows, folder=tmp_path / "run")
    assert str(error.value) == (
        "image size 128 does not fit windows of 100 samples: PAA never upsamples; "
        "choose a size from 1 to 100 or cut longer windows"
    )
    assert not (tmp_path / "run").exists()


def test_estimate_covers_every_training_and_writes_nothing(windows, tmp_path):
    plan = Plan(distill.Run(**QUICK), windows, tmp_path / "run")
    times = estimate(plan, steps=1)
    assert [t.title for t, _ in times] == [t.title for t in plan.trainings()]
    assert all(seconds > 0 for _, seconds in times)
    assert not (tmp_path / "run").exists()


def test_plain_progress_is_one_line_per_training(windows, tmp_path, capsys):
    import sys

    distill.run(distill.Run(**QUICK, seeds=(4,)), windows=windows, folder=tmp_path, progress=Plain(sys.stdout))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("[1/4] seed 4  teacher wrn10-1:gasf  2 epochs in ")
    assert lines[3].startswith("[4/4] seed 4  distilled wrn10-1:signal  2 epochs in ")


def test_files_of_a_killed_write_are_removed_at_the_next_start(windows, tmp_path):
    run = distill.Run(**QUICK, seeds=(0,))
    (tmp_path / ".run.json.123.partial").write_bytes(b"half")
    with pytest.raises(KeyboardInterrupt):
        execute(Plan(run, windows, tmp_path), Stop(1))
    half = tmp_path / "seed-0" / "teacher-wrn10-1-signal" / ".weights.safetensors.123.partial"
    half.write_bytes(b"half")
    execute(Plan(run, windows, tmp_path), Progress())
    assert not list(tmp_path.rglob(".*.partial"))


def test_a_second_process_is_kept_out_of_the_folder(windows, tmp_path):
    class Second(Progress):
        def begin(self, title, epochs):
            execute(Plan(distill.Run(**QUICK), windows, tmp_path), Progress())

    with pytest.raises(UserError) as error:
        execute(Plan(distill.Run(**QUICK), windows, tmp_path), Second())
    assert str(error.value) == f"another process is at work in '{tmp_path}': wait for it or choose another folder"


def test_a_run_half_done_in_another_environment_is_not_mixed(windows, tmp_path):
    run = distill.Run(**QUICK)
    with pytest.raises(KeyboardInterrupt):
        execute(Plan(run, windows, tmp_path), Stop(2))
    path = tmp_path / "run.json"
    path.write_text(path.read_text().replace('"precision": "fp32"\n', '"precision": "bf16"\n'))
    with pytest.raises(UserError, match="holds this run half done with precision bf16, here it is fp32"):
        execute(Plan(run, windows, tmp_path), Progress())


def test_a_result_of_other_code_is_shown_and_said(finished, windows, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder)
    path = folder / "run.json"
    about = json.loads(path.read_text())
    about["environment"]["code_sha256"] = "older"
    path.write_text(json.dumps(about))
    said = []
    teller = Progress()
    teller.say = said.append
    again = distill.run(distill.Run(**QUICK), windows=windows, folder=folder, progress=teller)
    assert again.content == finished.content
    assert said == ["This result was made by another version of the code."]


@pytest.mark.parametrize(("name", "content"), [("run.json", "{"), ("run.json", "[1]"), ("result.json", "{")])
def test_damaged_json_is_one_sentence(finished, windows, tmp_path, name, content):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder)
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=name):
        distill.run(distill.Run(**QUICK), windows=windows, folder=folder)


def test_a_flipped_bit_in_cached_logits_is_not_served(tmp_path):
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :2]

    values, ids = torch.randn(5, 2, 16), np.array(list("abcde"))
    path, view = tmp_path / "logits.safetensors", View(imager=None, units=("g", "g"))
    first = cached_logits(path, Model(), "sha", view, values, ids)
    content = bytearray(path.read_bytes())
    content[-1] ^= 64
    path.write_bytes(content)
    assert torch.equal(cached_logits(path, Model(), "sha", view, values, ids), first)


def test_windows_in_memory_are_recorded_by_their_own_name(windows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = replace(windows, name="mine")
    result = distill.run(distill.Run(**QUICK | {"epochs": 1}, seeds=(0,)), windows=mine)
    assert result.folder.name.startswith("mine-wrn10-1-to-wrn10-1-")
    assert json.loads((result.folder / "run.json").read_text())["run"]["data"] == "mine"
