import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from distill.cli import main

QUICK = ["--teacher", "wrn10-1", "--student", "wrn10-1", "--image-size", "8", "--epochs", "2", "--seeds", "0"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fails(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        main(["run", *args])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_run_ends_with_the_table_and_says_when_it_is_finished(capsys, tmp_path):
    main(["run", *QUICK])
    first = capsys.readouterr().out
    assert "Loss of the student: L = 0.3 CE + 0.7 x 4^2 x [0.3 KL(wrn10-1:gasf) + 0.7 KL(wrn10-1:signal)]" in first
    assert "Split: the data set's own split: 40 windows to train, 40 for test" in first
    for row in ("teacher wrn10-1", "wrn10-1 from scratch", "wrn10-1 distilled"):
        assert row in first
    main(["run", *QUICK])
    second = capsys.readouterr().out
    assert "This run is finished; nothing was trained again." in second
    assert first[first.index("basic-motions: accuracy") :] == second[second.index("basic-motions: accuracy") :]
    assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.parametrize(
    ("select", "given", "sentence"),
    [
        ("lambda=0.1,0.5", ["--lambda", "0.7"], "lambda 0.7 does nothing, as select 'lambda=0.1,0.5' chooses it"),
        ("weight-decay=0,1", ["--weight_decay=1e-4"], "weight-decay 0.0001 does nothing, as select 'weight-decay=0,1' chooses it"),
        ("loss=kd,dkd", ["--loss", "kd"], "loss kd does nothing, as select 'loss=kd,dkd' chooses it"),
    ],
)  # fmt: skip
def test_a_value_given_beside_its_selection_is_refused_even_if_it_is_the_default(
    capsys, tmp_path, select, given, sentence
):
    assert fails(capsys, "--select", select, *given) == f"distill: {sentence}: leave out one of them\n"
    assert list(tmp_path.iterdir()) == []


def test_a_value_given_beside_its_search_is_refused_even_if_it_is_the_default(capsys):
    with pytest.raises(SystemExit):
        main(["search", *QUICK, "--space", "lambda=0.1..0.9", "--lambda", "0.7"])
    assert capsys.readouterr().err == (
        "distill: lambda 0.7 does nothing, as the search chooses it: leave out one of them\n"
    )


def test_selection_from_the_command_line_is_finished_once(capsys):
    def says(*args):
        main(["run", *QUICK, "--epochs", "1", "--select", "lambda=0.2,0.8", "--out", "here", *args])
        return capsys.readouterr().out

    dry = says("--dry-run")
    assert "To choose on validation subjects: 2 candidates (lambda 0.2; lambda 0.8)" in dry
    assert "without the candidates that come before" in dry
    first, again = says(), says()
    assert "Candidate 2 of 2: lambda 0.8, on validation subjects" in first
    assert "Chosen: lambda 0." in first
    assert "This run is finished; nothing was trained again." in again
    assert first[first.index("basic-motions: accuracy") :] == again[again.index("basic-motions: accuracy") :]


def test_dry_run_prints_the_plan_and_writes_nothing(capsys, tmp_path):
    main(["run", *QUICK, "--dry-run"])
    out = capsys.readouterr().out
    assert "[1/4] seed 0  teacher wrn10-1:gasf  2 epochs, about " in out
    assert "[4/4] seed 0  distilled wrn10-1:signal  2 epochs, about " in out
    assert "nothing was trained" in out
    assert list(tmp_path.iterdir()) == []


def test_out_and_view_by_view_teachers(tmp_path):
    teachers = ["wrn10-1:gasf=0.5", "wrn10-1:signal=0.3", "wrn10-1:gasf+gadf+mtf=0.2"]
    options = ["--teacher", *teachers, "--image-size", "8", "--epochs", "1", "--seeds", "3", "--lambda", "0.5"]
    main(["run", *options, "--out", "here"])
    about = json.loads((tmp_path / "here" / "run.json").read_text())
    assert about["teachers"] == {"wrn10-1:gasf": 0.5, "wrn10-1:signal": 0.3, "wrn10-1:gasf+gadf+mtf": 0.2}
    result = json.loads((tmp_path / "here" / "result.json").read_text())
    assert [m["role"] for m in result["models"]] == ["teacher"] * 3 + ["scratch", "student"]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--data", "basic-motion"], "unknown data set or path 'basic-motion': did you mean 'basic-motions'?"),
        (["--teacher", "wrm28-3"], "unknown network 'wrm28-3': did you mean 'wrn28-3'?"),
        (["--teacher", "wrn28-3:gaf"], "unknown view 'gaf': did you mean 'gasf'?"),
        (["--student", "wrn20-1"], "depth 20 is no WRN depth"),
        (["--lambda", "2"], "lambda 2.0 is not allowed"),
        (["--alpha", "-1"], "alpha -1.0 is not allowed"),
        (["--temperature", "0"], "temperature 0.0 is not allowed"),
        (["--image-size", "101"], "image size 101 does not fit windows of 100 samples"),
        (["--channels", "ac-x"], "unknown channel 'ac-x': did you mean 'acc-x'?"),
        (["--classes", "Runing"], "unknown class 'Runing': did you mean 'Running'?"),
        (["--classes", "Running"], "basic-motions: there is only the class 'Running': nothing to learn"),
        (["--window", "128"], "data set 'basic-motions' cannot use the option window"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(capsys, tmp_path, args, sentence):
    error = fails(capsys, *args)
    assert error.startswith(f"distill: {sentence}")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback():
    from tsimage.errors import UserError

    with pytest.raises(UserError):
        main(["run", "--lambda", "2", "--debug"])


def test_a_folder_of_csv_files_trains_by_subject(capsys, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for person in ("ann", "bob", "cy"):
        label = np.repeat(["sit", "walk"], 200)
        wave = np.where(label == "walk", np.sin(np.arange(400)), 0.0)
        pd.DataFrame(
            {
                "t": np.arange(400) / 50,
                "x": wave + rng.normal(size=400) / 10,
                "y": wave + rng.normal(size=400) / 10,
                "activity": label,
                "who": person,
            }
        ).to_csv(tmp_path / "data" / f"{person}.csv", index=False)
    columns = ["--time", "t", "--channels", "x", "y", "--label", "activity", "--subject", "who", "--units", "g"]
    main(["run", "--data", "data", *columns, "--window", "1s", *QUICK])
    out = capsys.readouterr().out
    assert "3 recordings of 1,200 samples: 1,200 in windows" in out
    assert "by subject: 1 of 3 subjects held out" in out
    assert "wrn10-1 distilled" in out
    assert "unknown channel column in" in fails(
        capsys, "--data", "data", "--channels", "xx", *columns[5:], "--window", "1s", "--time", "t"
    )


def test_hapt_is_found_through_the_environment_variable(capsys, data_dir):
    data = ["--data", "hapt", "--classes", "SITTING", "LAYING", "--channels", "acc*"]
    quick = ["--student", "wrn10-1", "--seeds", "0", "--epochs", "1", "--batch-size", "256"]
    main(["run", *data, *quick, "--teacher", "wrn10-1:signal"])
    out = capsys.readouterr().out
    assert "30 subjects" in out
    assert "teacher wrn10-1:signal" in out
    assert "Subjects are unknown" not in out


def test_unknown_subjects_and_noisy_images_are_told(capsys):
    main(["run", "--teacher", "wrn10-1:mtf", *QUICK[2:], "--dry-run"])
    out = capsys.readouterr().out
    assert (
        "Subjects are unknown, so the same person may be in both parts: name the column (--subject) or store subjects"
        in out
    )
    assert "99 transitions make a noisy 8 x 8 matrix for the Markov field; 320 or more are advised" in out


def test_dry_run_of_what_is_done_says_so(capsys):
    main(["run", *QUICK])
    capsys.readouterr()
    main(["run", *QUICK, "--dry-run"])
    out = capsys.readouterr().out
    assert out.count("done already") == 4
    assert "In all about 0 s" in out


def test_dry_run_refuses_the_folder_of_another_run(capsys):
    main(["run", *QUICK, "--out", "here"])
    capsys.readouterr()
    assert "'here' holds another run, with other options (temperature)" in fails(
        capsys, *QUICK, "--temperature", "2", "--out", "here", "--dry-run"
    )


def test_dropped_constant_windows_are_counted(capsys, tmp_path):
    from tsimage import load

    windows = load("basic-motions")
    values = windows.values.copy()
    values[3, 2] = 1.0
    replace(windows, values=values).save(tmp_path / "mine.npz")
    assert "window 'train-03' is constant on channel 'acc-z'" in fails(capsys, *QUICK, "--data", "mine.npz")
    main(["run", *QUICK, "--data", "mine.npz", "--constant", "drop", "--dry-run"])
    out = capsys.readouterr().out
    assert "1 windows with a constant channel were dropped" in out
    assert "39 windows to train" in out


def test_help_loads_no_torch_and_few_modules():
    code = (
        "import sys\n"
        "from distill.cli import main\n"
        "try:\n    main(['run', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stderr.split())
    assert "--teacher" in done.stdout
    assert not modules & {"torch", "torchvision", "pyts", "numba", "pandas", "sklearn", "scipy", "matplotlib"}
    assert len(modules) < 550


def test_a_killed_run_ends_as_the_uninterrupted_one(tmp_path, capsys):
    args = ["run", *QUICK[:-1], "0", "1", "--precision", "fp32"]
    code = "import sys, torch; torch.set_num_threads(1); from distill.cli import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *args, "--out", "killed"], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("[3/8]"):
            process.kill()
            break
    process.stdout.close()
    assert process.wait() == -9
    assert not (tmp_path / "killed" / "result.json").exists()
    main([*args, "--out", "killed"])
    assert 3 <= capsys.readouterr().out.count("is done already") < 8
    main([*args, "--out", "whole"])
    killed, whole = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("weights.safetensors")}
        for name in ("killed", "whole")
    )
    assert len(whole) == 8
    assert killed == whole
    assert (tmp_path / "killed" / "result.json").read_text() == (tmp_path / "whole" / "result.json").read_text()


def test_classes_that_nobody_is_tested_on_are_named(capsys, tmp_path):
    from tsimage import load

    windows = load("basic-motions", classes=["Running", "Standing", "Walking"])
    people = np.array([f"p{i % 4}" for i in range(len(windows))])
    rare = np.flatnonzero((windows.class_names.index("Walking") == windows.labels) & (people != "p0"))
    kept = np.setdiff1d(np.arange(len(windows)), rare)
    start = windows.start + np.arange(len(windows)) * 100
    mine = replace(windows, subjects=people, recordings=people.copy(), split=None, start=start, stop=start + 100)
    mine.select(kept).save(tmp_path / "mine.npz")
    main(["run", *QUICK, "--data", "mine.npz"])
    out = capsys.readouterr().out
    assert "No window of the test part is of class Walking\n" in out
    assert "No window of the test part is of class Walking: nothing is said about it." in out
    assert re.search(r"by subject: 1 of 4 subjects held out \(p[123]\)", out)


def test_a_file_as_run_directory_is_refused(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    assert "'notes.txt' is a file: choose a folder" in fails(capsys, *QUICK, "--out", "notes.txt")
