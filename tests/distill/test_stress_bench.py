"""Real tiny runs under stress: who sees what, what is kept, what is found damaged, and what is said."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch import nn

import distill
import tsimage
from distill.cli import main
from distill.layout import write_result
from distill.models.standardize import Standardize
from distill.progress import Progress
from distill.records import read_records
from distill.report.networks import network_of
from distill.report.study import study_of
from distill.splits import cross_validation
from distill.stress import CONDITIONS, Sensors, bench, compared, damaged, files, measuring, read_stress, stress
from distill.stress.told import Stress
from tests.distill.studies import study
from tests.distill.tiny_runs import QUICK

NEED_NO_TRIPLE = [name for name in CONDITIONS if name != "rotation"]


def waves(channels=("acc-x", "acc-y", "acc-z"), people=6):
    """Slow and fast waves of some people, in as many channels as asked for."""
    made = study(people=people, recordings=1, each=6)
    values = np.concatenate([made.values, -made.values], axis=1)[:, : len(channels)]
    return replace(made, values=values, channels=tuple(channels), units=("g",) * len(channels))


@pytest.fixture(scope="module")
def windows():
    return waves()


@pytest.fixture(scope="module")
def trained(windows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    distill.run(distill.Run(**QUICK | {"seeds": (0, 1, 2), "epochs": 3}), windows=windows, folder=folder)
    return folder


@pytest.fixture(scope="module")
def stressed(trained, windows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stressed") / "run"
    shutil.copytree(trained, folder)
    return stress(folder, windows=windows)


@pytest.fixture
def copied(stressed, tmp_path):
    shutil.copytree(stressed.record.folder, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def fresh(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def scores(frame, **where):
    for name, value in where.items():
        frame = frame[frame[name] == value]
    return frame.set_index(["model", "seed"])[["accuracy", "macro_f1"]]


def test_undamaged_windows_give_the_result_of_the_run(stressed):
    clean = scores(stressed.frame, condition="clean", level="")
    assert len(clean) == 12
    names = {"scratch": "from scratch", "student": "distilled"}
    for model in stressed.record.result["models"]:
        name = names.get(model["role"], f"teacher {model['network']}:{model['view']}")
        for seed, wanted in model["seeds"].items():
            assert tuple(clean.loc[(name, int(seed))]) == (wanted["accuracy"], wanted["macro_f1"])
    assert not any("other than in the result" in note for note in stressed.notes())


def test_every_condition_level_model_and_seed_has_a_row(stressed, windows):
    levels = [("clean", ""), *((n, v) for n, c in CONDITIONS.items() for v in c.levels_for(windows.channels))]
    assert list(dict.fromkeys(zip(stressed.frame["condition"], stressed.frame["level"], strict=True))) == levels
    counted = stressed.frame.groupby(["condition", "level"])[["model", "seed"]].value_counts()
    assert len(counted) == 12 * len(levels)
    assert (counted == 1).all()
    assert not stressed.was_measured


@pytest.mark.parametrize(("condition", "level"), [("noise", "-5"), ("rotation", "90"), ("rate", "1/8")])
def test_all_models_see_the_same_damage_and_images_are_painted_from_it(stressed, windows, condition, level):
    held = study_of([stressed.record.folder], windows=windows)
    split = held.plan.splits[0]
    sensors = Sensors.fit(windows.values[split.train], windows.channels)
    seen = damaged(windows.values[held.positions], windows.ids[held.positions], condition, level, sensors)
    for name, row in held.rows.items():
        model, view = network_of(held, row)
        inputs = torch.from_numpy(seen)
        with torch.no_grad():
            said = model(inputs if view.imager is None else view.imager(inputs, windows.units)).argmax(1).numpy()
        found = scores(stressed.frame, condition=condition, level=level).loc[(name, 0)]
        assert found["accuracy"] == accuracy_score(held.labels, said)
        assert found["macro_f1"] == f1_score(held.labels, said, average="macro")


def test_a_network_that_ignores_an_axis_is_untouched_by_dropping_it(fresh, windows, monkeypatch):
    original = measuring.trained_network

    def ignoring(plan, training, samples):
        model, record = original(plan, training, samples)
        first = next(module for module in model.modules() if isinstance(module, nn.Conv1d | nn.Conv2d))
        first.weight[:, 1] = 0
        return model, record

    said = []
    real = measuring.predict
    monkeypatch.setattr(measuring, "trained_network", ignoring)
    monkeypatch.setattr(measuring, "predict", lambda *given: said.append(real(*given)) or said[-1])
    stress(fresh, ["dropped"], windows=windows)
    clean, x, y, z = (said[12 * k : 12 * (k + 1)] for k in range(4))
    assert all(torch.equal(a, b) for a, b in zip(clean, y, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(clean, x, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(clean, z, strict=True))


def test_what_was_measured_is_only_read(copied, stressed, windows, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(bench, "measure", None)
        found = stress(copied)
        assert found.was_measured
        pd.testing.assert_frame_equal(found.frame, stressed.frame)
        pd.testing.assert_frame_equal(read_stress(found.record).frame, stressed.frame)
        some = stress(copied, ["stuck", "noise"])
        assert some.conditions == ["noise", "stuck"]
        assert set(some.frame["condition"]) == {"clean", "noise", "stuck"}
    before = (copied / files.SCORES).read_bytes()
    assert not stress(copied, ["gap"], windows=windows, again=True).was_measured
    assert (copied / files.SCORES).read_bytes() == before


def test_conditions_are_added_as_if_measured_together(fresh, stressed, windows, monkeypatch):
    asked = []
    real = bench.measure
    monkeypatch.setattr(
        bench, "measure", lambda plan, record, names, *a: asked.append(names) or real(plan, record, names, *a)
    )
    for names in (["stuck"], ["jitter", "stuck"], ["jitter"]):
        found = stress(fresh, names, windows=windows)
    assert asked == [["clean", "stuck"], ["clean", "jitter"]]
    kept, about = files.read(fresh)
    assert list(about["conditions"]) == ["jitter", "stuck"]
    together = stressed.frame[stressed.frame["condition"].isin(["clean", "jitter", "stuck"])]
    pd.testing.assert_frame_equal(kept, together.reset_index(drop=True))
    assert found.was_measured
    assert read_stress(found.record).conditions == ["jitter", "stuck"]


def test_files_come_back_to_the_last_bit(tmp_path):
    frame = pd.DataFrame(
        [
            ("dropped", "NA", "teacher a:signal", "teacher", 3, "", 1 / 3, 2 / 7),
            ("rate", "1/2", "distilled", "student", 0, 'a "b",\n 1', 0.1, 0.0),
        ],
        columns=measuring.COLUMNS,
    )
    assert files.read(tmp_path) is None
    about = {"result_sha256": "", "seed": 4, "conditions": {"rate": {}}, "left_out": {}, "most_frequent": 0.5}
    (tmp_path / ".stress.json.1.partial").write_text("{")  # of a process that was killed
    files.write(tmp_path, frame, about)
    found, read = files.read(tmp_path)
    pd.testing.assert_frame_equal(found, frame)
    assert read == about
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / files.SCORES, dtype={"fold": str}, keep_default_na=False), frame
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [files.SCORES, files.ABOUT]


def test_damage_is_found_and_mended_by_measuring_again(copied, stressed, windows, says):
    path = copied / files.ABOUT
    whole = path.read_bytes()
    for broken in (whole.replace(b"0", b"1", 1), whole[:-9], b""):
        path.write_bytes(broken)
        with says(
            f"'{path}' is not as it was written (its sha256 differs): measure it anew with distill stress {copied} --again"
        ):
            stress(copied, ["stuck"], windows=windows)
    found = stress(copied, ["stuck"], windows=windows, again=True)
    wanted = stressed.frame[stressed.frame["condition"].isin(["clean", "stuck"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(files.read(copied)[0], wanted)
    assert not found.was_measured


def test_scores_of_another_version_are_no_traceback(copied, says):
    frame, about = files.read(copied)
    for other in (
        {name: value for name, value in about.items() if name != "left_out"},
        about | {"conditions": about["conditions"] | {"hail": about["conditions"]["noise"]}},
    ):
        files.write(copied, frame, other)
        with says(
            f"'{copied / 'stress.json'}' is of another version of this program: measure it anew with distill stress {copied} "
            "--again"
        ):
            stress(copied)


@pytest.mark.parametrize("left", [None, b"condition,level\n"])
def test_the_csv_is_put_right(copied, left):
    path = copied / files.SCORES
    whole = path.read_bytes()
    path.unlink() if left is None else path.write_bytes(left)
    assert stress(copied, ["stuck"]).was_measured
    assert path.read_bytes() == whole


def test_what_is_broken_off_loses_one_condition(fresh, stressed, windows, monkeypatch):
    real, asked = bench.measure, []

    def killed(plan, record, names, *given):
        asked.append(names)
        if "gap" in names:
            raise KeyboardInterrupt
        return real(plan, record, names, *given)

    with monkeypatch.context() as patch:
        patch.setattr(bench, "measure", killed)
        with pytest.raises(KeyboardInterrupt):
            stress(fresh, ["missing", "gap", "stuck"], windows=windows)
    assert asked == [["clean", "missing"], ["gap"]]
    assert list(files.read(fresh)[1]["conditions"]) == ["missing"]
    found = stress(fresh, ["missing", "gap", "stuck"], windows=windows)
    wanted = stressed.frame[stressed.frame["condition"].isin(["clean", "missing", "gap", "stuck"])]
    pd.testing.assert_frame_equal(found.frame, wanted.reset_index(drop=True))


def test_a_failed_write_leaves_what_was_there(copied, windows, monkeypatch):
    before = (copied / files.ABOUT).read_bytes()

    def full(path, content):
        raise OSError("no room")

    monkeypatch.setattr(files.atomic, "write_json", full)
    with pytest.raises(OSError, match="no room"):
        stress(copied, ["stuck"], windows=windows, again=True)
    assert (copied / files.ABOUT).read_bytes() == before
    assert read_stress(read_records([copied])[0]) is not None


def test_two_at_once_keep_what_both_measured(fresh, windows, monkeypatch, says):
    real, others = bench.measure, [(["stuck"], 0), (["stuck"], 5)]

    def meanwhile(plan, record, names, *given):
        if others and "stuck" not in names:
            theirs, seed = others.pop(0)
            stress(fresh, theirs, windows=windows, seed=seed, again=seed > 0)
        return real(plan, record, names, *given)

    monkeypatch.setattr(bench, "measure", meanwhile)
    stress(fresh, ["jitter"], windows=windows)
    assert list(files.read(fresh)[1]["conditions"]) == ["jitter", "stuck"]
    with says(
        f"'{fresh / 'stress.json'}' is of damage drawn with seed 5, not 0: give that seed, or --again to measure anew and put "
        "it in the place of all that is there"
    ):
        stress(fresh, ["missing"], windows=windows)


def test_a_folder_that_may_not_be_written_is_told_before_anything_is_measured(fresh, windows, monkeypatch, says):
    monkeypatch.setattr(bench, "measure", None)
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    with says(f"'{fresh}' may not be written, and scores are kept there: copy the run, or ask for the right to"):
        stress(fresh, windows=windows)


def test_what_was_measured_otherwise_is_refused(copied, windows, says):
    about = f"'{copied / 'stress.json'}' is of"
    with says(
        f"{about} damage drawn with seed 0, not 7: give that seed, or --again to measure anew and put it in the place of all "
        "that is there"
    ):
        stress(copied, seed=7, windows=windows)
    result = read_records([copied])[0].result
    write_result(copied, result | {"data": "other"})
    with says(f"{about} another result of this run: measure it anew with distill stress {copied} --again"):
        stress(copied, windows=windows)
    found = stress(copied, ["jitter"], seed=7, again=True, windows=windows)
    assert found.seed == 7
    kept = files.read(copied)[1]["conditions"]
    assert {name: made["levels"] for name, made in kept.items()} == {"jitter": ["0.06", "0.09", "0.12"]}


def test_networks_keep_the_statistics_of_their_training(fresh, windows, monkeypatch):
    original, seen = measuring.trained_network, []

    def kept(plan, training, samples):
        model, record = original(plan, training, samples)
        seen.append((model, {name: value.clone() for name, value in model.state_dict().items()}, training.view))
        return model, record

    monkeypatch.setattr(measuring, "trained_network", kept)
    stress(fresh, ["scaling"], windows=windows)
    train = windows.values[read_split(fresh, windows)]
    assert len(seen) == 12
    for model, before, view in seen:
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        if view.imager is None:
            layer = next(module for module in model.modules() if isinstance(module, Standardize))
            np.testing.assert_allclose(layer.mean[:, 0].numpy(), train.mean(axis=(0, 2)), atol=1e-6)
            np.testing.assert_allclose(layer.std[:, 0].numpy(), train.std(axis=(0, 2)), rtol=1e-5)


def read_split(folder, windows):
    return study_of([folder], windows=windows).plan.splits[0].train


def test_a_run_of_a_grid_is_stressed_from_anywhere(trained, windows, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "early")
    folder = tmp_path / "grid" / "runs" / "one"
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        options = QUICK | {"teacher": ("wrn10-1@early",), "epochs": 1}
        distill.run(distill.Run(**options), windows=windows, folder=folder.relative_to(tmp_path))
    grid = {"runs": [], "trainings": [], "environment": {}, "working_directory": str(tmp_path)}
    (tmp_path / "grid" / "grid.json").write_text(json.dumps(grid))
    monkeypatch.chdir("/")
    found = stress(folder, ["stuck"], windows=windows)
    assert not any("other than in the result" in note for note in found.notes())


def test_what_cannot_be_stressed_is_one_sentence(fresh, windows, says, tmp_path):
    names = ", ".join(CONDITIONS)
    with says(f"unknown condition 'rotations': did you mean 'rotation'? Valid: {names}"):
        stress(fresh, ["rotations"])
    with says(f"the data of run '{fresh}' cannot be read here: {_why_unreadable(fresh)}"):
        stress(fresh)
    with says(
        f"the data 'study' now give other windows than those of run '{fresh}': bring back the data that it was done on, or do "
        "the run anew"
    ):
        stress(fresh, windows=replace(windows, values=windows.values + 1))
    gone = next(fresh.glob("seed-1/student-*"))
    sha = json.loads((gone / "training.json").read_text())["weights_sha256"]
    weights = (gone / "weights.safetensors").read_bytes()
    (gone / "weights.safetensors").write_bytes(weights[:-1] + b"x")
    with says(
        f"'{gone / 'weights.safetensors'}' is missing or not as it was written (its sha256 differs): remove the folder "
        f"'{gone}' and run again to train it anew"
    ):
        stress(fresh, windows=windows)
    shutil.rmtree(gone)
    with says(
        f"'{fresh}': the training of weights {sha[:8]} (seed 1  distilled wrn10-1:signal) is no longer there, and all models of "
        "a run are stressed: bring it back, or do the run anew"
    ):
        stress(fresh, windows=windows)
    shutil.copytree(fresh, tmp_path / "other")
    with says(f"'{tmp_path}' holds 2 runs: give the directory of one, as {tmp_path / 'other'}"):
        stress(tmp_path)
    (fresh / "result.json").unlink()
    with says(f"run '{fresh}' is not finished; 11 of 12 trainings are done: finish it first"):
        stress(fresh)
    assert not (fresh / files.SCORES).exists()


def _why_unreadable(folder):
    with pytest.raises(tsimage.UserError) as caught:
        tsimage.load(read_records([folder])[0].run.data)
    return caught.value


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    """Two folds, a ridge as teacher, a warm start with its control, channels that are no triple."""
    folder, windows = tmp_path_factory.mktemp("folds") / "run", waves(("acc-x", "heart"), people=4)
    run = distill.Run(
        **QUICK | {"image_size": 32, "teacher": ("minirocket:signal",), "folds": "2", "warm_start": True, "epochs": 1}
    )
    distill.run(run, windows=windows, folder=folder)
    said = []
    progress = Progress()
    progress.say = said.append
    return stress(folder, windows=windows, progress=progress), windows, said


def test_with_folds_every_model_answers_for_its_own(folded):
    found, windows, said = folded
    assert found.conditions == NEED_NO_TRIPLE
    clean = found.frame[found.frame["condition"] == "clean"].set_index(["role", "fold"])["accuracy"]
    for model in found.record.result["models"]:
        assert clean[model["role"], ""] == model["seeds"]["0"]["accuracy"]
        for fold, accuracy in model["seeds"]["0"]["accuracy_by_fold"].items():
            assert clean[model["role"], fold] == accuracy
    record = found.record
    right = 0
    for split in cross_validation(windows, "2"):
        sensors = Sensors.fit(windows.values[split.train], windows.channels)
        seen = damaged(windows.values[split.evaluation], windows.ids[split.evaluation], "drift", "2", sensors)
        plan = study_of([record.folder], windows=windows).plan
        training = next(t for _, t in plan.tasks() if t.role == "student" and t.split.fold == split.fold)
        model, _ = measuring.trained_network(plan, training, plan.samples(training.split.train))
        mine = int((model(torch.from_numpy(seen)).argmax(1).numpy() == windows.labels[split.evaluation]).sum())
        of_student = found.frame.query("condition == 'drift' and level == '2' and role == 'student'").set_index("fold")
        assert of_student.loc[split.fold, "accuracy"] == mine / len(split.evaluation)
        right += mine
    assert of_student.loc["", "accuracy"] == right / len(windows)
    assert [line.rpartition(",")[0] for line in said[:2]] == [
        "[1/9] noise: 6 levels, 4 models",
        "[2/9] jitter: 3 levels, 4 models",
    ]
    assert len(said) == len(NEED_NO_TRIPLE)


def test_with_folds_differences_are_those_of_the_table(folded):
    found = folded[0]
    wanted = distill.compare_runs([found.record]).frame.set_index("role").loc["student"]
    row = found.table[(found.table["condition"] == "clean") & (found.table["role"] == "student")].iloc[0]
    assert (
        (row["difference"], row["pairs"])
        == (pytest.approx(wanted["difference"]), wanted["pairs"])
        == (row["difference"], 2)
    )
    assert found.record.test_to_train == 1.0  # two people against two


def test_conditions_that_are_not_for_the_windows_are_left_out_or_refused(folded, says):
    found, windows, _ = folded
    assert found.left_out == {"rotation": "no three channels are the x, y and z of one sensor"}
    assert "rotation: left out, for no three channels are the x, y and z of one sensor." in str(found)
    again = stress(found.record.folder)
    assert again.was_measured
    assert again.left_out == found.left_out
    for given in ({}, {"windows": windows, "again": True}):
        with says(
            f"condition 'rotation' is not for the windows of run '{found.record.folder}', for no three channels are the x, y and "
            "z of one sensor: leave it out"
        ):
            stress(found.record.folder, ["rotation"], **given)


def test_a_warm_start_is_compared_with_its_control(folded):
    found = folded[0]
    assert set(found.table.loc[found.table["role"] == "student", "baseline"]) == {"from scratch, trained on"}
    assert "trained on" in str(found).splitlines()[0]
    assert (
        "difference: distilled minus from scratch, trained on (trained on: from scratch, for as long as the distilled), in points, "
        "paired by seed and fold, each fold alike and once, as the mean over its seeds; their +- is over folds, and the interval "
        "allows for the windows that folds share (Nadeau and Bengio)." in found.notes()
    )
    assert "no +- is given below n = 3." in found.notes()[0]


def test_the_command_tells_draws_and_writes_json(copied, capsys, tmp_path):
    picture = tmp_path / "new" / "curves.png"
    main(["stress", str(copied), "--conditions", "noise,stuck", "--plot", str(picture)])
    told = capsys.readouterr().out
    assert told.startswith("All of it was measured before; --again measures anew.\n\n condition  level")
    assert told.endswith(f"Scores of every seed: {copied / 'stress.csv'}\nCurves: {picture}\n")
    assert "\n noise         20  " in told
    assert "rotation" not in told
    assert picture.read_bytes().startswith(b"\x89PNG")
    main(["stress", str(copied), "--conditions", "stuck", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [(row["condition"], row["model"]) for row in found["rows"]][:1] == [("clean", "teacher wrn10-1:gasf")]
    assert len(found["rows"]) == 8
    assert found["rows"][0]["difference"] is None
    assert found["conditions"] == {"stuck": {"meaning": CONDITIONS["stuck"].meaning, "source": ""}}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--plot", "a.txt"], "unknown ending of a plot '.txt': Valid: .png, .svg, .pdf"),
        (
            ["--conditions", "noise,,gap"],
            "conditions 'noise,,gap' has an empty name: join names by single commas, as noise,rotation",
        ),
    ],
)
def test_the_command_says_what_is_wrong(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as left:
        main(["stress", "nowhere", *arguments])
    assert left.value.code == 2
    assert sentence in capsys.readouterr().err.replace("\n", " ")


def test_a_run_that_answers_otherwise_today_is_noted(stressed):
    frame = stressed.frame.copy()
    first = frame.index[(frame["condition"] == "clean") & (frame["role"] == "student")][0]
    frame.loc[first, "accuracy"] -= 0.02
    other = Stress(record=stressed.record, frame=frame, about=stressed.about, was_measured=True)
    assert other.notes()[-1] == (
        "Undamaged windows give up to 2.00 points other than in the result, as on another device."
    )


def test_the_notes_say_how_far_numbers_carry(stressed, windows):
    labels = windows.labels[study_of([stressed.record.folder], windows=windows).positions]
    notes = stressed.notes()
    assert notes[1] == (
        f"Whoever always says the most frequent class is right in {100 * max(labels.mean(), 1 - labels.mean()):.2f} %."
    )
    given = stressed.table[stressed.table["role"] == "student"]
    low, high = (given["difference"] + sign * given["difference_ci95"] for sign in (-1, 1))
    above, below = sum(low > 0), sum(high < 0)
    assert notes[3:] == [
        "difference: distilled minus from scratch, in points, paired by seed, so that the interval is about another training and "
        "not about other people.",
        f"Of the 36 intervals of differences {above} are wholly above 0 and {below} wholly below; they are not adjusted for "
        "their number, and one in twenty does so by chance where nothing differs.",
    ]
    conditions = stressed.about["conditions"]
    older = conditions["gap"] | {"environment": {"code_sha256": "of before"}}
    other = replace(stressed, about=stressed.about | {"conditions": conditions | {"gap": older}})
    assert other.notes()[-1] == "The conditions were measured by 2 versions of the code."


def test_the_table_is_that_of_the_frame(stressed):
    found = compared(stressed.frame)
    row = found[(found["condition"] == "noise") & (found["level"] == "-5") & (found["role"] == "student")].iloc[0]
    mine = scores(stressed.frame, condition="noise", level="-5", role="student")["accuracy"].to_numpy()
    theirs = scores(stressed.frame, condition="noise", level="-5", role="scratch")["accuracy"].to_numpy()
    assert row["mean"] == pytest.approx(100 * mine.mean())
    assert row["sd"] == pytest.approx(100 * np.std(mine, ddof=1))
    assert row["difference"] == pytest.approx(100 * (mine - theirs).mean())
    assert row["difference_ci95"] == pytest.approx(
        100 * 4.302653 * np.std(mine - theirs, ddof=1) / np.sqrt(3), rel=1e-6
    )
    assert (row["n"], row["pairs"], row["baseline"]) == (3, 3, "from scratch")
