"""A run exported for a device: the same answers as torch, a card with the numbers of the run, and one sentence for each mistake."""

import importlib.util
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import f1_score

import distill
from distill.cli import main
from distill.deploy import exporting
from distill.deploy.card import card
from distill.deploy.contract import KEY, Contract
from distill.deploy.exporting import export_run, files_of
from distill.deploy.people import OWN_SPLIT, hashes_of
from distill.deploy.picking import pick
from distill.deploy.provenance import provenance
from distill.layout import read_result
from distill.models import build_model
from distill.stress import CONDITIONS, stress
from tests.distill.made_runs import made_windows, make_run
from tests.distill.studies import study
from tests.distill.tiny_grids import RUN
from tests.distill.tiny_runs import QUICK
from tsimage import atomic
from tsimage.errors import UserError

NAME = "wrn10-1-student-seed-1"


def people():
    """Windows of 6 people in 3 classes, of whom two are tested; each channel with its own unit and range."""
    windows = study(people=6, recordings=1, classes=3)
    values = windows.values * np.array([[1], [40]], np.float32) + np.array([[0], [9]], np.float32)
    split = np.where(windows.subjects < "s04", "train", "test")
    return replace(windows, values=values.astype(np.float32), units=("g", "deg/s"), split=split)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the data and a run on them: image and signal teachers, seeds 1 and 0."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        people().save(home / "mine.npz")
        config = distill.Run(**QUICK | {"seeds": (1, 0), "epochs": 3, "data": "mine.npz"})
        distill.run(config, folder="here")
    return home / "here"


@pytest.fixture(autouse=True)
def _at_home(run, monkeypatch):
    monkeypatch.chdir(run.parent)


@pytest.fixture(scope="module")
def exported(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run.parent)
        return export_run("here", rounds=3)


@pytest.fixture
def one_graph(exported, monkeypatch):
    """Spare the tracer: every network has the graph of the one that is exported."""
    kept = onnx.load(exported.float32)

    def again(*given):
        made = onnx.ModelProto()
        made.CopyFrom(kept)
        return made

    monkeypatch.setattr(exporting, "graph_of", again)


def answers(path, values):
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run(["logits", "probabilities"], {"windows": values})


def by_torch(run, values, folder="seed-1/student-wrn10-1"):
    """The logits of the trained student, put together here without the package's own loading."""
    weights = load_file(run / folder / "weights.safetensors")
    network = build_model("wrn10-1", dims=1, in_channels=2, classes=3, size=20).eval()
    network.load_state_dict({name[2:]: value for name, value in weights.items() if name.startswith("1.")})
    with torch.no_grad():
        scaled = (torch.from_numpy(values) - weights["0.mean"]) / weights["0.std"]
        return network(scaled).numpy()


def contract_of(path):
    return Contract.from_json({p.key: p.value for p in onnx.load(path).metadata_props}[KEY], str(path))


def table_of(text, title):
    """The rows of the first table below a title of a card, without its head."""
    lines = text.partition(f"{title}\n")[2].splitlines()
    below = lines[: next(i for i, line in enumerate(lines) if line.startswith("## "))]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in below if line.startswith("|")]
    return rows[2:]


def test_the_files(exported, run):
    folder = run / "export"
    names = [f"{NAME}.{end}" for end in ("int8.onnx", "json", "md", "onnx")]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert exported.float32.resolve() == folder / f"{NAME}.onnx"  # the first seed, whatever its score
    assert atomic.read_json(exported.numbers) == json.loads(json.dumps(exported.content))
    lines = str(exported).splitlines()
    assert len(lines) == 4
    assert f"{NAME}.onnx  float32, " in lines[0]


def test_the_float32_file_equals_torch(exported, run):
    windows = people()
    values = windows.values[windows.split == "test"]
    expected = by_torch(run, values)
    logits, probabilities = answers(exported.float32, values)
    assert len(values) == 12
    difference = np.abs(logits - expected).max()
    assert difference <= 1e-5
    assert (logits.argmax(1) == expected.argmax(1)).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    found = exported.content["parity"]
    assert found["windows"] == 12
    assert found["difference"] == pytest.approx(difference, abs=5e-6)
    assert (found["limit"], found["other_class"]) == (1e-5, 0)
    for n in (1, 7):
        few = answers(exported.float32, values[:n])
        assert few[0].shape == few[1].shape == (n, 3)
        np.testing.assert_allclose(few[0], expected[:n], atol=1e-5)


def test_int8_is_close_and_says_how_close(exported):
    windows = people()
    test = windows.split == "test"
    expected, _ = answers(exported.float32, windows.values[test])
    got, probabilities = answers(exported.int8, windows.values[test])
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    found = exported.content["int8"]
    assert found["difference"] == pytest.approx(np.abs(got - expected).max(), abs=1e-4)
    assert 0 < found["difference"] < 0.3
    assert found["agreement"] == pytest.approx((got.argmax(1) == expected.argmax(1)).mean())
    assert found["accuracy"] == pytest.approx((got.argmax(1) == windows.labels[test]).mean())
    assert found["calibration"] == {
        "windows": 24,
        "subjects": 4,
        "windows_by_class": {"slow": 8, "fast": 8, "faster": 8},
    }


def test_what_the_files_say_of_themselves(exported, run):
    windows = people()
    train = windows.values[windows.split == "train"]
    contract = contract_of(exported.float32)
    assert contract == contract_of(exported.int8) == replace(exported.contract, about=contract.about)
    assert contract.about == json.loads(json.dumps(exported.contract.about))
    assert (contract.channels, contract.units, contract.rate_hz) == (("x", "y"), ("g", "deg/s"), 10.0)
    assert (contract.length, contract.classes) == (20, ("slow", "fast", "faster"))
    np.testing.assert_allclose(contract.low, train.min(axis=(0, 2)))
    np.testing.assert_allclose(contract.high, train.max(axis=(0, 2)))
    logits = by_torch(run, train).astype(float)
    energies = np.log(np.exp(logits).sum(1))
    assert contract.energy == pytest.approx(np.percentile(energies, 1), abs=1e-4)
    about = contract.about
    assert (
        about["model"]["weights_sha256"]
        == json.loads((run / "seed-1" / "student-wrn10-1" / "training.json").read_text())["weights_sha256"]
    )
    assert about["data"]["windows_sha256"] == people().fingerprint()
    assert about["data"]["people"] == hashes_of(["s00", "s01", "s02", "s03"])
    assert about["data"]["split"] == OWN_SPLIT
    recipe = about["recipe"]
    assert (recipe["alpha"], recipe["lambda"], recipe["temperature"], recipe["epochs"]) == (0.3, 0.7, 4, 3)
    assert recipe["teachers"] == {"wrn10-1:gasf": 0.3, "wrn10-1:signal": 0.7}
    assert recipe["seeds"] == [1, 0]


@pytest.mark.parametrize("gravity", [True, False])
def test_where_a_model_comes_from_tells_gravity(exported, gravity):
    picked = pick("here")
    values = np.full((len(picked.windows), 3, 20), 0.01, dtype=np.float32)
    values[:, 1] += gravity
    values += np.random.default_rng(0).normal(size=values.shape) * 1e-4
    names = ("acc-x", "acc-y", "acc-z")
    resting = replace(picked.windows, values=values.astype(np.float32), channels=names, units=("g",) * 3, flags=None)
    assert provenance(replace(picked, windows=resting))["data"]["gravity"] == dict.fromkeys(names, gravity)
    assert exported.content["data"]["gravity"] == {}


def test_the_same_weights_give_the_same_bytes(exported, run, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("export"))
    out = tmp_path / "new" / "other.onnx"
    again = export_run(tmp_path / "elsewhere", out=out, rounds=1)
    assert again.float32 == out
    assert sorted(p.name for p in out.parent.iterdir()) == ["other.int8.onnx", "other.json", "other.md", "other.onnx"]
    for name in ("float32", "int8"):
        content = getattr(again, name).read_bytes()
        assert content == getattr(exported, name).read_bytes()
        assert not re.search(rb"/tmp|elsewhere|mine\.npz|20[0-9]{2}-[0-9]{2}", content)


def test_no_test_window_has_a_say(exported, one_graph):
    picked = pick("here")
    windows = picked.windows
    test = windows.split == "test"

    def shifted(which):
        values = windows.values.copy()
        values[which] += 1e6
        return replace(picked, windows=replace(windows, values=values))

    files = files_of(shifted(test), exported.contract.about)
    assert files.float32 == exported.float32.read_bytes()
    assert files.int8 == exported.int8.read_bytes()
    assert set(files.calibrated_on.tolist()) <= set(np.flatnonzero(~test).tolist())
    other = files_of(shifted(~test), exported.contract.about)
    assert other.int8 != files.int8
    assert other.contract.energy != files.contract.energy


def test_a_file_that_is_not_the_same_is_not_left(exported, one_graph, monkeypatch, tmp_path):
    out = tmp_path / "off.onnx"
    export_run("here", out=out, rounds=1)
    assert len(list(tmp_path.iterdir())) == 4
    right = exporting.logits_of
    monkeypatch.setattr(exporting, "logits_of", lambda content, values: right(content, values) + 3e-5)
    with pytest.raises(UserError) as caught:
        export_run("here", out=out, rounds=1)
    assert re.fullmatch(
        f"the float32 file does not say the same as torch, so nothing is left at '{out}': in 12 windows the largest difference of a "
        r"logit is (2\.9|3\.0|3\.1)e-05 \(allowed 1\.0e-05\) and 0 have another class: report this network with its weights, or try "
        "other versions of torch and onnxruntime",
        str(caught.value),
    )
    assert list(tmp_path.iterdir()) == []


def test_the_card_has_the_numbers_of_the_run(exported, run):
    text = exported.card.read_text()
    result = json.loads((run / "result.json").read_text())
    model = next(m for m in result["models"] if m["role"] == "student")
    mine, other = model["seeds"]["1"], model["seeds"]["0"]
    rows = table_of(text, "## How good it is")
    assert rows[0] == [
        "float32",
        *(f"{100 * mine[key]:.2f}" for key in ("accuracy", "macro_f1", "subject_accuracy")),
    ]
    mean = 50 * (mine["accuracy"] + other["accuracy"])
    assert f"Over all 2 seeds of the run: accuracy {mean:.2f}, macro-F1 " in text
    for name, f1 in mine["f1_by_class"].items():
        assert re.search(rf"\| {name} \| {100 * f1:.2f} \|", text)
    windows = people()
    test = windows.split == "test"
    said = answers(exported.int8, windows.values[test])[0].argmax(1)
    expected = f1_score(windows.labels[test], said, labels=[0, 1, 2], average=None, zero_division=0)
    for name, f1 in zip(windows.class_names, expected, strict=True):
        assert re.search(rf"\| {name} \| [0-9.]+ \| {100 * f1:.2f} \|", text)
    assert rows[1][1] == f"{100 * (said == windows.labels[test]).mean():.2f}"

    size = dict(table_of(text, "## Size and speed")[:5])
    assert size["parameters"] == f"{model['parameters']:,}"
    assert size["multiply-accumulates of one window"] == f"{model['macs']:,}"
    assert size["file in float32"] == f"{exported.float32.stat().st_size / 1024:,.1f} KiB"
    assert size["file in int8"] == f"{exported.int8.stat().st_size / 1024:,.1f} KiB"
    peak = 3 * 16 * 20
    assert size["most activations held at once, one window"] == f"{peak}: 3.8 KiB in float32, 0.9 KiB in int8"
    learnt = dict(table_of(text, "## What it learnt from"))
    assert learnt["training part"] == "24 windows of 4 people"
    assert learnt["test part"] == "12 windows of 2 people"
    assert learnt["licence of the data"] == "not known: ask whoever gave the data"
    assert learnt["sha256 of the windows"] == f"`{windows.fingerprint()}`"
    assert dict(table_of(text, "## How it was trained"))["loss"] == f"`{result['formula']}`"
    assert table_of(text, "## What it wants to see")[1][:3] == ["1", "y", "deg/s"]
    assert "Not measured yet; `distill stress here` does it, and the next export tells it here." in text


def test_a_card_knows_the_licence_of_the_catalogue_and_what_was_damaged(exported, tmp_path):
    content = json.loads(json.dumps(exported.content))
    content["data"] |= {"licence": "CC BY 4.0", "citation": "A. Person 2012", "place": "wrist", "page": "https://a.b"}
    scores = [
        ("clean", "", "distilled", "student", 0.95),
        ("noise", "20", "distilled", "student", 0.9),
        ("noise", "0", "distilled", "student", 0.7),
        ("noise", "20", "from scratch", "scratch", 0.2),
    ]
    frame = pd.DataFrame(scores, columns=["condition", "level", "model", "role", "accuracy"]).assign(
        fold="", macro_f1=0.5
    )
    seed = content["model"]["seed"]
    others = [frame.assign(seed=seed + 1, accuracy=0.1), frame.assign(seed=seed, fold="ann", accuracy=0.3)]
    both = pd.concat([frame.assign(seed=seed), *others])
    text = card(content, tmp_path, both)
    assert table_of(text, "## Robustness") == [
        ["none", "windows as they are", "95.0"],
        [f"noise, {CONDITIONS['noise'].unit}", CONDITIONS["noise"].meaning, "20: 90.0, 0: 70.0"],
    ]
    content["model"]["fold"] = "ann"
    rows = table_of(card(content, tmp_path, both), "## Robustness")
    assert [row[2] for row in rows] == ["30.0", "20: 30.0, 0: 30.0"]
    learnt = dict(table_of(text, "## What it learnt from"))
    assert (learnt["licence of the data"], learnt["to be cited"]) == ("CC BY 4.0", "A. Person 2012")
    assert "worn at the wrist" in text
    content["data"]["gravity"] = {"acc-x": True, "user-x": False}
    content["contract"]["classes"] = ["stand, sit", "walk | run", "a\nb"]
    content["scores"]["f1_by_class"] = dict.fromkeys(content["contract"]["classes"], 0.5)
    content["int8"]["f1_by_class"] = content["scores"]["f1_by_class"]
    assert "This is the first seed, which was not chosen by its score." in text
    content["model"]["seed"] = 0
    text = card(content, tmp_path)
    assert "This is not the first seed: somebody chose it, perhaps by its score." in text
    assert "\n\nGravity is in acc-x: it must not be removed. Gravity is not in user-x: it must be removed.\n\n" in text
    assert "Classes by number: 0 stand, sit; 1 walk | run; 2 a b." in text
    assert "\n| walk \\| run | 50.00 | 50.00 |\n| a b | 50.00 | 50.00 |\n" in text
    assert "apart, with sensors" in text.partition("For telling stand, sit; walk | run; a b ")[2]


def test_what_was_stressed_is_in_the_card_of_the_next_export(exported, one_graph, tmp_path):
    assert "Not measured yet" in exported.card.read_text()
    stress("here", ["jitter"], windows=people())
    try:
        again = export_run("here", out=tmp_path / "again.onnx", windows=people(), rounds=2)
        rows = table_of(again.card.read_text(), "## Robustness")
        assert [row[0] for row in rows] == ["none", f"jitter, {CONDITIONS['jitter'].unit}"]
        scores = read_result(Path("here"))["models"][-1]["seeds"][str(exported.content["model"]["seed"])]
        assert rows[0][2] == f"{100 * scores['accuracy']:.1f}"
    finally:
        Path("here", "stress.csv").unlink()
        Path("here", "stress.json").unlink()


def test_the_command(exported, one_graph, capsys, tmp_path):
    main(["export", "here", "--seed", "1", "--out", str(tmp_path / "mine.onnx")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"{tmp_path}/mine.onnx  float32, ")
    assert lines[0].endswith(" in 12 test windows, the same class in all")
    assert lines[2].endswith(" microseconds")
    assert (tmp_path / "mine.onnx").read_bytes() == exported.float32.read_bytes()
    with pytest.raises(SystemExit) as stop:
        main(["export", "here", "--out", "a.pt"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "distill: cannot export to 'a.pt': name a file ending in .onnx\n"


@pytest.mark.parametrize(
    ("role", "folder", "name"),
    [
        ("teacher:signal", "seed-0/teacher-wrn10-1-signal", "wrn10-1-teacher-signal-seed-0"),
        ("scratch", "seed-0/scratch-wrn10-1", "wrn10-1-scratch-seed-0"),
    ],
)
def test_other_networks_of_the_run(exported, one_graph, run, role, folder, name):
    picked = pick("here", role, seed=0)
    values = people().values
    np.testing.assert_allclose(exporting.said(picked, values), by_torch(run, values, folder), atol=1e-5)
    assert not np.allclose(exporting.said(picked, values), exporting.said(pick("here"), values), atol=0.01)
    assert picked.name == name
    about = provenance(picked)
    assert (about["model"]["seed"], about["recipe"]["formula"], about["recipe"]["teachers"]) == (0, "L = CE", {})
    text = card(exported.content | about | {"name": picked.name}, run)
    assert "alpha" not in text
    assert "| loss | `L = CE` |" in text


def test_runs_of_a_grid(tmp_path, says, one_graph):
    people().save(tmp_path / "mine.npz")
    text = RUN.replace('channels = ["acc*"]', 'data = "mine.npz"').replace('"wrn10-1"', '"wrn10-1:signal"', 1)
    text = text.replace("image-size = 8\n", "") + "[[grid]]\nlambda = [0.3, 0.7]\n"
    (tmp_path / "grid.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        distill.run_grid(distill.read_grid("grid.toml"), "g")
    folders = sorted((tmp_path / "g" / "runs").iterdir())
    picked = pick(folders[1])  # from another working directory than the grid's
    assert picked.run.lambda_ == 0.7
    assert picked.name == "wrn10-1-student-seed-0"
    with says(f"'{tmp_path}/g' holds 2 runs: export one of them, as '{folders[0]}'"):
        pick(tmp_path / "g")


def test_folds_need_a_name(tmp_path, says):
    windows = replace(people(), split=None)
    folder = tmp_path / "folds"
    config = {"seeds": (0,), "epochs": 1, "teacher": "wrn10-1:signal", "folds": "2"}
    config = QUICK | config
    del config["image_size"]
    distill.run(distill.Run(**config), windows, folder)
    with says(
        f"run '{folder}' has 2 folds and so 2 networks where one is exported: choose with fold one of '1 of 2', '2 of 2'"
    ):
        pick(folder, windows=windows)
    with says("unknown fold '3 of 2': did you mean '1 of 2'? Valid: 1 of 2, 2 of 2"):
        pick(folder, fold="3 of 2", windows=windows)
    picked = pick(folder, fold="2 of 2", windows=windows)
    assert picked.name == "wrn10-1-student-seed-0-fold-2"
    weights = load_file(folder / "fold-2" / "seed-0" / "student-wrn10-1" / "weights.safetensors")
    assert torch.equal(picked.model.state_dict()["1.head.weight"], weights["1.head.weight"])
    with says("run 'here' has no folds: leave out fold '1 of 2'"):
        pick("here", fold="1 of 2")


def test_what_cannot_be_exported_is_told(run, says, tmp_path):
    with says("there is no folder 'nowhere': give run directories, folders of grids, or a folder of such"):
        export_run("nowhere")
    with says("cannot export to 'a.pt': name a file ending in .onnx"):
        export_run("here", out="a.pt")
    readme = tmp_path / "README.md"
    readme.write_text("of something else")
    with says(f"'{readme}', where the card belongs, is of something else: export to another name (option out)"):
        export_run("here", out=tmp_path / "README.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert readme.read_text() == "of something else"
    with says("seed 7 is none of this model in run 'here': choose one of 1, 0"):
        pick("here", seed=7)
    with says(
        "unknown role 'studant': did you mean 'student'? Valid: student, scratch, teacher:signal, teacher:wrn10-1:signal"
    ):
        pick("here", "studant")
    with says(
        "teacher 'wrn10-1:gasf' looks at images, and painting them is no part of an exported model: export the student, or a teacher "
        "on the signal"
    ):
        pick("here", "teacher:gasf")
    (run / "result.json").rename(tmp_path / "result.json")
    try:
        with says("run 'here' is not finished; 8 of 8 trainings are done: finish it before it is exported"):
            pick("here")
    finally:
        (tmp_path / "result.json").rename(run / "result.json")


def test_a_ridge_is_no_network(tmp_path, says):
    folder = make_run(tmp_path / "made", teacher=("hydra:signal",), image_size=32)
    with says(
        "teacher 'hydra:signal' is random convolutions with a ridge, which is no network to export: export the student, or another "
        "teacher on the signal"
    ):
        pick(folder, "teacher:signal", windows=made_windows())


def test_lost_and_damaged_weights(run, says, tmp_path):
    shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("export"))
    folder = tmp_path / "copy" / "seed-1" / "student-wrn10-1"
    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with says(
        f"'{weights}' is missing or not as it was written (its sha256 differs): remove the folder '{folder}' and run again to train it "
        "anew"
    ):
        pick(tmp_path / "copy")
    sha = json.loads((folder / "training.json").read_text())["weights_sha256"][:8]
    shutil.rmtree(folder)
    with says(
        f"the weights of seed 1, distilled wrn10-1:signal are no longer there (no training in '{tmp_path}/copy' has the sha256 {sha}): "
        "bring them back, or do the run anew"
    ):
        pick(tmp_path / "copy")


def test_data_that_are_gone_or_others(run, says, tmp_path):
    other = people()
    other.values[0, 0, 0] += 1
    with says(
        "the data 'mine.npz' now give other windows than those of run 'here': bring back the data that it was done on, or do the run anew"
    ):
        pick("here", windows=other)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with pytest.raises(UserError, match=r"cannot be read here: unknown data set or path 'mine\.npz'"):
            pick(run)


def test_the_rate_must_be_known(says):
    picked = pick("here")
    timeless = replace(picked, windows=replace(picked.windows, rate_hz=None))
    with says(
        "study: the sampling rate of the windows is not known, and whoever uses the model must know it: store rate_hz with the windows, "
        "or give the rate to the run"
    ):
        files_of(timeless, {})


def test_what_is_not_installed_is_told(monkeypatch, says):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else there(name))
    with says(
        "an export needs onnx and onnxscript and onnxruntime, which is not installed: pip install 'tsimage[export]'"
    ):
        export_run("here")
