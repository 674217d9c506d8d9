import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from distill.cli import main
from distill.deploy.comparing import compare
from distill.deploy.people import hashes_of
from distill.deploy.reading import Reading
from tests.distill.onnx_models import CLASSES, Weights, contract, graph_of, write_graph, write_model

WANTED = ("acc-x", "acc-y", "acc-z")
LABELLED = Reading(rate=50.0, label="what")


@pytest.fixture
def data(tmp_path):
    """10 stretches of 40 samples; one with a missing value and one of a class that no model knows."""
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=3) + 0.2 * rng.normal(size=(40, 3)) for _ in range(10)])
    frame = pd.DataFrame(values.astype(np.float32), columns=["acc-x", "acc-y", "acc-z"])
    frame["what"] = np.repeat(["lie", "sit", "walk", "sit", "lie", "dance", "walk", "sit", "walk", "lie"], 40)
    frame.loc[5, "acc-y"] = np.nan
    frame.to_csv(tmp_path / "data.csv", index=False)
    return frame, str(tmp_path / "data.csv")


def windows_of(frame):
    """Windows of 16 with half overlap within each stretch, by hand, whole and of classes that models know."""
    values = frame[["acc-x", "acc-y", "acc-z"]].to_numpy()
    starts = [a for stretch in range(0, 400, 40) for a in range(stretch, stretch + 25, 8)]
    kept = [a for a in starts if not (a <= 5 < a + 16 or 200 <= a < 240)]
    truth = [CLASSES.index(frame["what"][a]) for a in kept]
    return np.stack([values[a : a + 16].T for a in kept]), np.array(truth)


def compared(paths, data, reading=LABELLED, **options):
    said = []
    return compare(paths, data, reading, say=said.append, **options), said


def test_scores_are_those_of_scikit_learn_on_the_same_windows(tmp_path, data):
    frame, path = data
    windows, truth = windows_of(frame)
    paths = [write_model(tmp_path / f"{seed}.onnx", seed=seed) for seed in (0, 1, 2)]
    found, said = compared(paths, path)
    predicted = [Weights(seed=seed).logits(windows).argmax(axis=1) for seed in (0, 1, 2)]
    assert found.windows == len(truth) == 35
    assert len({tuple(p) for p in predicted}) == 3
    for one, file, answers in zip(found.models, paths, predicted, strict=True):
        assert one.model == str(file)
        assert one.accuracy == pytest.approx(accuracy_score(truth, answers))
        assert one.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, answers))
        assert one.macro_f1 == pytest.approx(f1_score(truth, answers, average="macro"))
        assert one.agreement == pytest.approx(np.mean(answers == predicted[0]))
        assert one.bytes == file.stat().st_size
        assert 0 < one.microseconds < 1e6
    assert "Windows with missing samples, which are left out: 1" in said
    assert "Left out, because the models do not know them: windows of dance" in said


def test_classes_in_another_order_are_the_same_classes(tmp_path, data):
    turned = write_model(tmp_path / "b.onnx", contract(classes=CLASSES[::-1]))
    found, _ = compared([write_model(tmp_path / "a.onnx"), turned], data[1])
    windows, truth = windows_of(data[0])
    logits = Weights().logits(windows).argmax(axis=1)
    assert found.models[1].accuracy == pytest.approx(np.mean(2 - logits == truth))
    assert found.models[1].agreement == pytest.approx(np.mean(logits == 1))


def foreign(path, seed=0, shape=("n", 3, 16), **options):
    options = {"names": ("x", "y", "z"), "outputs": 1} | options
    return write_graph(path, graph_of(Weights(seed=seed), shape, 3, **options))


@pytest.mark.parametrize("shape", [("n", 3, 16), (1, 3, 16), ("n", "c", "t")])
def test_models_of_others_take_part_when_their_classes_are_named(tmp_path, data, shape):
    paths = [write_model(tmp_path / "a.onnx"), foreign(tmp_path / "b.onnx", seed=0, shape=shape)]
    found, _ = compared(paths, data[1], classes=CLASSES)
    first, second = found.models
    assert second.agreement == 1.0
    assert (first.accuracy, first.macro_f1) == (second.accuracy, second.macro_f1)


def test_only_models_of_others_take_the_data_as_they_are(tmp_path, data):
    windows, truth = windows_of(data[0])
    reading = Reading(rate=50.0, label="what", channels=("acc-x", "acc-y", "acc-z"))
    found, _ = compared([foreign(tmp_path / "b.onnx", seed=2)], data[1], reading, classes=CLASSES)
    assert found.models[0].accuracy == pytest.approx(np.mean(Weights(seed=2).logits(windows).argmax(axis=1) == truth))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"channels": ("a", "b", "c")}, "channels differ (a, b, c; acc-x, acc-y, acc-z)"),
        ({"units": ("m/s^2",) * 3}, "units differ (m/s^2, m/s^2, m/s^2; g, g, g)"),
        ({"rate_hz": 25.0}, "rate in Hz differ (25; 50)"),
        ({"length": 20}, "window length differ (20; 16)"),
        ({"classes": ("lie", "sit", "run")}, "classes differ (lie, sit, run; lie, sit, walk)"),
    ],
)
def test_models_that_want_something_else_are_refused(tmp_path, data, says, fields, said):
    first, other = write_model(tmp_path / "a.onnx"), write_model(tmp_path / "b.onnx", contract(**fields))
    with says(
        f"'{other}' and '{first}' cannot be compared, their {said}: compare models that look at the same windows and tell the "
        "same classes apart"
    ):
        compared([first, other], data[1])


def test_models_of_others_that_do_not_fit(tmp_path, data, says):
    first, other = write_model(tmp_path / "a.onnx"), foreign(tmp_path / "b.onnx")
    with says(
        f"'{other}' does not say what its outputs mean, for distill export did not write it: name them in their order with "
        "classes (a,b,c)"
    ):
        compared([first, other], data[1])
    with says(f"the output of '{other}' has shape (n, 3), where 2 classes are named: it must be (window, class)"):
        compared([first, other], data[1], classes=("lie", "sit"))
    with says("classes lie, lie, sit repeat: name each once, in the order of the output"):
        compared([first, other], data[1], classes=("lie", "lie", "sit"))
    with says(
        f"'{other}' has the classes lie, sit, run, and '{first}' lie, sit, walk: name the same in classes, in the order of its "
        "output"
    ):
        compared([first, other], data[1], classes=("lie", "sit", "run"))
    longer = foreign(tmp_path / "c.onnx", shape=("n", 3, 20))
    with says(f"'{longer}' takes windows of 20 samples, where the others and the data have 16: leave it out"):
        compared([first, longer], data[1], classes=CLASSES)
    two = foreign(tmp_path / "d.onnx", outputs=2)
    with says(
        f"'{two}' has the outputs y, z: a model that distill export did not write must have one, of shape (window, class)"
    ):
        compared([first, two], data[1], classes=CLASSES)


def test_models_that_answer_nonsense_or_need_no_classes(tmp_path, data, says):
    with says(
        "classes (lie, sit, walk) are of models that distill export did not write, and these say their own: leave out classes"
    ):
        compared([write_model(tmp_path / "a.onnx")], data[1], classes=CLASSES)
    weights = Weights()
    weights.bias[1] = np.nan
    bad = write_graph(tmp_path / "b.onnx", graph_of(weights, ("n", 3, 16), 3, names=("x", "y", "z"), outputs=1))
    reading = Reading(rate=50.0, label="what", channels=WANTED)
    with says(f"'{bad}' answers 35 of 35 windows with scores that are not finite: leave it out, or mend its weights"):
        compared([bad], data[1], reading, classes=CLASSES)


def test_data_without_labels_or_with_others(tmp_path, data, says):
    first = write_model(tmp_path / "a.onnx")
    with says("data: no sample of the 1 recordings has a label: label them"):
        compared([first], data[1], Reading(rate=50.0))
    other = write_model(tmp_path / "b.onnx", contract(classes=("run", "swim", "ride")))
    with says(
        "data: no whole window is of a class that the models know (run, swim, ride); there are dance, lie, sit, walk: give "
        "recordings with these labels"
    ):
        compared([other], data[1])


def knowing(path, *people):
    """A model that says that it was trained on these people."""
    return write_model(path, contract(about={"data": {"name": "theirs", "people": hashes_of(people)}}))


@pytest.fixture
def of_people(tmp_path, data):
    """The same recordings, half of them of ann and half of bob."""
    frame = data[0].assign(who=np.repeat(["ann", "bob"], 200))
    frame.to_csv(tmp_path / "people.csv", index=False)
    return frame, str(tmp_path / "people.csv"), Reading(rate=50.0, label="what", subject="who")


def test_windows_of_people_that_a_model_knows_are_told_or_held_out(tmp_path, of_people):
    frame, path, reading = of_people
    paths = [knowing(tmp_path / "a.onnx", "Bob"), knowing(tmp_path / "b.onnx", "cem"), write_model(tmp_path / "c.onnx")]
    found, said = compared(paths, path, reading)
    assert (found.windows, [each.familiar for each in found.models]) == (35, [16, 0, None])
    assert said[-2:] == [
        f"WARNING: 16 of 35 windows are of people that '{paths[0]}' was trained or chosen on, so it looks better than it is "
        "(option held-out leaves them out)",
        f"Whether these people are familiar is not known, because the file does not say: {paths[2]}",
    ]
    row = next(line for line in str(found).splitlines() if str(paths[2]) in line)
    assert row.split()[5] == "?"
    found, said = compared(paths, path, reading, held_out=True)
    windows, truth = windows_of(frame)
    right = Weights().logits(windows[:19]).argmax(axis=1) == truth[:19]  # the first five stretches are of ann
    assert (found.windows, [each.familiar for each in found.models]) == (19, [0, 0, None])
    assert found.models[0].accuracy == pytest.approx(np.mean(right))
    assert said[-2] == "Left out, because a model was trained or chosen on these people: 16 windows"


def test_nobody_can_be_held_out(tmp_path, of_people, says):
    _, path, reading = of_people
    with says(
        "people: all 35 windows are of people that a model was trained or chosen on, so none is held out: give recordings of other "
        "people, or leave out held-out"
    ):
        compared([knowing(tmp_path / "a.onnx", "ann", "bob")], path, reading, held_out=True)
    with says(
        "people: no model says on whom it was trained, so nobody can be held out: export them anew, or leave out held-out"
    ):
        compared([write_model(tmp_path / "c.onnx")], path, reading, held_out=True)
    with says(
        "people: the windows do not say whose they are, so nobody can be held out: name the column of the person (option "
        "subject), or leave out held-out"
    ):
        compared([knowing(tmp_path / "a.onnx", "ann")], path, LABELLED, held_out=True)
    _, said = compared([knowing(tmp_path / "a.onnx", "ann")], path, LABELLED)
    assert said[-1].startswith(
        "Whether these people are familiar is not known, because the windows do not say whose they"
    )


def test_a_hop_longer_than_a_window(tmp_path, data, says):
    with says("hop '17' is longer than a window of 16 samples: give at most a window"):
        compared([write_model(tmp_path / "a.onnx")], data[1], hop="17")


def test_the_command_prints_a_table_or_json(tmp_path, data, capsys):
    paths = [str(write_model(tmp_path / f"{seed}.onnx", seed=seed)) for seed in (0, 1)]
    arguments = ["compare", *paths, "--on", data[1], "--rate", "50", "--label", "what"]
    main([*arguments, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [each["model"] for each in found["models"]] == paths
    assert found["classes"] == list(CLASSES)
    main(arguments)
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(f" {tmp_path}")]
    for row, each in zip(rows, found["models"], strict=True):
        shares = [each[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "agreement")]
        assert row[:7] == [each["model"], *(f"{100 * share:.2f}" for share in shares), "?", f"{each['bytes']:,}"]
        assert row[8] == "us"
    with pytest.raises(SystemExit):
        main([*arguments, "--held-out"])
    assert "so nobody can be held out" in capsys.readouterr().err
