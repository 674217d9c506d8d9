import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import distill
from distill.audit import audit, is_run, read_earlier
from distill.audit.earlier import since
from distill.cli import main
from tests.distill.studies import by_window, study
from tests.distill.tiny_runs import QUICK
from tsimage import load

RUN = ["run", "--teacher", "wrn10-1:signal", "--student", "wrn10-1", "--epochs", "1", "--seeds", "0"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def told(capsys, *args):
    main(["audit", *args])
    return capsys.readouterr().out


def fails(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        main(["audit", *args])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error.strip()


def section(text, title):
    """The lines below a title."""
    _, _, after = text.partition(f"\n{title}")
    return after.partition("\n\n")[0].splitlines()[1:]


@pytest.fixture
def table(tmp_path):
    """Four people, each a CSV file of sitting still and walking at 50 Hz."""
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for person in ("ann", "bob", "cy", "di"):
        label = np.repeat(["sit", "walk"], 200)
        wave = np.where(label == "walk", np.sin(np.arange(400) * 0.7), 0.0)
        columns = {"t": np.arange(400) / 50, "activity": label, "who": person}
        columns |= {axis: wave + rng.normal(size=400) / 10 for axis in "xy"}
        pd.DataFrame(columns).to_csv(tmp_path / "data" / f"{person}.csv", index=False)
    options = "--time t --channels x y --label activity --subject who --units g --window 0.5s --overlap 0.5"
    return ["data", *options.split()]


def test_a_folder_of_tables(capsys, table):
    out = told(capsys, *table)
    assert "Split: by subject: 1 of 4 subjects held out" in out
    assert section(out, "What the parts share") == [
        "  No person is in both parts.",
        "  No recording is in both parts.",
        "  No raw sample is in both parts.",
        "  No window to evaluate is a copy of a training window.",
        "  One person alone is evaluated, so that the number tells of this person.",
    ]
    canaries = section(out, "Canaries")
    assert [line.split("   ")[-1] for line in canaries[1:] if "does not apply" not in line] == ["quiet"] * 4
    assert (
        "  same recording               does not apply: every person has one recording, so this is the" in canaries[2]
    )
    assert section(out, "Labels that models of other people contradict") == ["  None."]
    assert out.splitlines()[-1].startswith(
        "Verdict: Nothing leaks between the parts. 4 of 5 canaries apply and are quiet."
    )


def test_leaving_everybody_out_in_turn(capsys, table):
    out = told(capsys, *table, "--folds", "loso")
    assert "Split: leave one subject out, 4 subjects: 90 windows to train, 120 to evaluate" in out


def test_basic_motions_whose_people_are_unknown(capsys):
    out = told(capsys, "basic-motions")
    assert "  The people are not known of every window: the same person may be in both parts.\n" in out
    assert "  same subject                 does not apply: the person is unknown for 80 of 80 windows\n" in out
    assert section(out, "What a leaky split would have added") == [
        "  Not measured: people are unknown and every recording holds one window, so that a split by window is all there is."
    ]
    assert out.splitlines()[-1] == (
        "Verdict: No leak was found, but people are unknown, so that the same person may be in both parts: such numbers hold "
        "for known people at best. 2 of 5 canaries apply and are quiet."
    )


def test_a_leaky_file_is_reported_and_written(capsys, tmp_path):
    windows = study(noise=0.6)
    labels = windows.labels.copy()
    labels[40] = 1 - labels[40]
    replace(windows, labels=labels, split=by_window(windows)).save(tmp_path / "mine.npz")
    out = told(capsys, "mine.npz", "--out", "found")
    assert "  7 people are in both parts: s00, s01, s02, s03, s04 and 2 more.\n" in out
    assert out.count("LOUD: this leaks") == 3
    assert "Verdict: The split LEAKS: both parts hold 7 people, 12 recordings and 22 windows' raw samples." in out
    assert out.endswith("found/audit.json\nfound/contradicted.csv\n")
    written = json.loads((tmp_path / "found" / "audit.json").read_text())
    assert written["leaks"] is True
    assert [canary["voice"] for canary in written["canaries"]] == ["loud", "loud", "loud", "quiet", "quiet"]
    frame = pd.read_csv(tmp_path / "found" / "contradicted.csv")
    assert frame.columns[:5].tolist() == ["window", "subject", "recording", "start", "stop"]
    assert frame["window"][0] == "w40"
    assert [frame["label"][0], frame["seen"][0]] == ["fast", "slow"]
    assert frame.round(9).to_dict("records") == pd.DataFrame(written["contradicted"]).round(9).to_dict("records")


def test_json_is_all_there_is(capsys):
    content = json.loads(told(capsys, "basic-motions", "--json"))
    found = audit(load("basic-motions"))
    assert content == json.loads(json.dumps(found.to_json()))
    assert (content["trained"], content["evaluated"], content["leaks"]) == (40, 40, False)
    assert content["inflation"]["why"].startswith("people are unknown")


def test_another_seed_draws_anew(capsys):
    first, again, other = (told(capsys, "basic-motions", "--json", "--seed", seed) for seed in "334")
    assert first == again != other


def test_the_student_is_trained_on_request(capsys, tmp_path):
    study(people=4, recordings=1).save(tmp_path / "mine.npz")
    out = told(capsys, "mine.npz", "--train", "--epochs", "2")
    assert "  wrn16-1 (2 epochs)" in out
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


def test_a_run_brings_its_data_and_its_certificate(capsys, tmp_path):
    study().save(tmp_path / "mine.npz")
    main([*RUN, "--data", "mine.npz", "--channels", "x", "--folds", "2", "--patience", "1", "--out", "here"])
    capsys.readouterr()
    out = told(capsys, "here")
    assert "Split: 2 folds of 8 subjects" in out
    assert section(out, "The run") == [
        "  'here' holds a run that is finished.",
        "  The windows are those that it was made on, to the last bit.",
        "  Its split certificate, made anew, says the same.",
    ]
    (tmp_path / "here" / "result.json").unlink()
    study(people=9, seed=1).save(tmp_path / "mine.npz")
    out = told(capsys, "here")
    assert section(out, "The run") == [
        "  'here' holds a run that is not finished.",
        "  The windows are NOT those that it was made on: its numbers are of other data.",
        "  Its split certificate, made anew, differs: basis, parts.",
    ]
    assert out.rstrip().endswith("The data or the split are not those of the run any more.")
    assert fails(capsys, "here", "--channels", "x") == (
        "distill: 'here' is a run and brings its own options: give none, or audit its data 'mine.npz'"
    )
    (tmp_path / "mine.npz").unlink()
    assert fails(capsys, "here").startswith(
        "distill: the data of the run 'here' cannot be read here: unknown data set or path 'mine.npz'"
    )


def test_a_certificate_that_cannot_be_made_any_more(tmp_path):
    windows = study(split=np.where(study().subjects < "s06", "train", "test"))
    distill.run(distill.Run(**QUICK), windows, tmp_path / "here")
    assert is_run(tmp_path / "here")
    leaky = replace(windows, split=by_window(windows))
    found = since(read_earlier(tmp_path / "here"), leaky)
    assert (found.same_windows, found.same_split) == (False, False)
    assert found.differences[0].startswith("study: windows 'w")
    assert "hold the same raw samples" in found.differences[0]


@pytest.mark.parametrize("content", ['{"run": {}}', "[]", '{"run": {"read": {}, "oops": 1}}', "{"])
def test_a_damaged_run_is_one_sentence(capsys, tmp_path, content):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "run.json").write_text(content)
    error = fails(capsys, "here")
    assert "'here/run.json' describes no run of this version" in error or "'here/run.json' is damaged" in error


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["basic-motion"], "unknown data set or path 'basic-motion': did you mean 'basic-motions'?"),
        (["basic-motions", "--epochs", "3"], "epochs are of the student: give train too, or leave them out"),
        (["basic-motions", "--train", "--epochs", "0"], "epochs 0 "),
        (["basic-motions", "--folds", "all"], "folds 'all' is not allowed: give loso or a number of folds from 2"),
        (
            ["basic-motions", "--folds", "loso"],
            "basic-motions: to leave one subject out, two or more subjects must be known",
        ),
        (["basic-motions", "--out", "file"], "'file' is a file: choose a folder"),
    ],
)
def test_bad_input_is_one_sentence(capsys, tmp_path, args, sentence):
    (tmp_path / "file").write_text("precious")
    assert fails(capsys, *args).startswith(f"distill: {sentence}")
    assert (tmp_path / "file").read_text() == "precious"


def test_windows_that_cannot_be_split_are_told_so():
    unknown = np.full(96, "")
    found = audit(replace(study(), subjects=unknown, recordings=unknown))
    assert found.canaries == ()
    text = str(found)
    assert (
        "No split: study: neither subjects nor recordings of the windows are known, and a split by window would leak"
        in text
    )
    assert section(text, "What the parts share") == ["  There are none."]
    assert "  Not measured: the windows cannot be split.\n" in text
    assert (
        "Verdict: As they are, these windows cannot be split into honest parts, so no number of them can be trusted."
        in text
    )


def test_copies_alone_are_to_be_left_out():
    windows = study(split=np.where(study().subjects < "s06", "train", "test"))
    values = windows.values.copy()
    values[95] = values[1]
    found = audit(replace(windows, values=values))
    assert {canary.voice for canary in found.canaries} == {"quiet"}
    assert found.verdict().startswith(
        "The split LEAKS: both parts hold 1 copied window. Do not report numbers from it; leave the copies out."
    )


def test_windows_that_no_model_can_look_at():
    gaps = np.zeros((96, 2), dtype=bool)
    gaps[3, 1] = True
    values = study().values.copy()
    values[3, 1, 4] = np.nan
    found = audit(replace(study(), values=values, gaps=gaps))
    assert (
        found.inflation.why
        == found.contradicted.why
        == ("samples are missing (load with missing '0.2s' to fill gaps up to 0.2 s)")
    )
    short = audit(study(length=8, step=4))
    assert [one.model for one in short.inflation] == ["nearest training window"]
    assert short.contradicted.why == "windows of 8 samples are too short for kernels of 9"


def test_no_windows_are_refused(says):
    with says("study: there are no windows to audit"):
        audit(study().select([]))
