import json
import shlex
import sys
from dataclasses import replace

import numpy as np
import pytest

import distill
from distill import Run
from distill.cli import main
from distill.progress import Progress
from distill.proposals import DIGITS, JOURNAL, SEARCHED, Span, Trial, parse_space, propose
from distill.runner import alone
from distill.search import default_folder, search
from tsimage import ReadOptions
from tsimage.errors import UserError

QUICK = {
    "teacher": ("wrn10-1",),
    "student": "wrn10-1",
    "image_size": 8,
    "epochs": 1,
    "precision": "fp32",
    "device": "cpu",
    "seeds": (0,),
}
SPACE = {
    "lambda": Span(low=0.1, high=0.9),
    "temperature": Span(low=1.0, high=8.0, log=True),
    "alpha": Span(low=0, high=1),
}
N = 13


class Stop(Progress):
    """Breaks off when a line begins so, or when the n-th training begins."""

    def __init__(self, line="never", at=10**6):
        self.line, self.left, self.begun, self.said = line, at, [], []

    def say(self, line):
        self.said.append(line)
        if line.startswith(self.line):
            raise KeyboardInterrupt

    def begin(self, title, epochs):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        self.begun.append(title)


@pytest.fixture(scope="module")
def people(make_windows):
    subjects = np.repeat(["ann", "bob", "cem", "dia", "eva"], 6)
    return make_windows(30, subjects=subjects, split=np.where(subjects == "ann", "test", "train"))


@pytest.fixture(scope="module")
def whole(people, tmp_path_factory):
    """An uninterrupted search with what was said and which trainings were begun."""
    told = Stop()
    return search(Run(**QUICK), SPACE, N, tmp_path_factory.mktemp("searches") / "whole", people, told), told


def shas(folder):
    return {
        path.parent.relative_to(folder).as_posix(): json.loads(path.read_text())["weights_sha256"]
        for path in sorted(folder.rglob("training.json"))
    }


def test_teachers_and_the_student_from_scratch_are_trained_once(whole):
    searched, told = whole
    assert sum("teacher" in title for title in told.begun) == 2
    assert sum("from scratch" in title for title in told.begun) == 1
    assert sum("distilled" in title for title in told.begun) == N
    assert len(searched.trials) == N
    made = shas(searched.folder)
    for name in ("teacher-wrn10-1-gasf", "teacher-wrn10-1-signal", "scratch-wrn10-1"):
        assert len({made[f"trial-{k}/seed-0/{name}"] for k in range(1, N + 1)}) == 1
    assert len({made[f"trial-{k}/seed-0/student-wrn10-1"] for k in range(1, N + 1)}) == N


def test_a_trial_is_the_run_of_its_values_on_validation_subjects(whole, people, tmp_path):
    trial = whole[0].trials[-1]
    v = trial.values
    run = Run(**QUICK, lambda_=v["lambda"], temperature=v["temperature"], alpha=v["alpha"], evaluate="validation")
    alone = distill.run(run, windows=people, folder=tmp_path)
    assert shas(tmp_path) == shas(whole[0].folder / f"trial-{N}")
    assert trial.accuracy == alone.table()["mean"].iloc[-1]
    about = json.loads((whole[0].folder / f"trial-{N}" / "run.json").read_text())
    assert "ann" not in json.dumps(about["split"]["parts"])


def test_values_lie_in_their_ranges_and_can_be_typed(whole):
    for trial in whole[0].trials:
        for name, span in SPACE.items():
            assert span.low <= trial.values[name] <= span.high
            assert trial.values[name] == float(f"{trial.values[name]:.{DIGITS}g}")
    assert len({tuple(t.values.values()) for t in whole[0].trials}) == N


def test_the_best_of_equals_is_the_first_and_the_table_says_so(whole):
    searched = whole[0]
    top = max(t.accuracy for t in searched.trials)
    assert searched.best == next(t for t in searched.trials if t.accuracy == top)
    v = searched.best.values
    assert searched.run == Run(
        **QUICK, data="made", lambda_=v["lambda"], temperature=v["temperature"], alpha=v["alpha"]
    )
    text = str(searched)
    rows = [line.split() for line in text.splitlines()]
    for t in searched.trials:
        assert [str(t.number), *(f"{value:g}" for value in t.values.values()), f"{t.accuracy:.2f}"] in rows
    assert f"Best: lambda {v['lambda']:g}, temperature {v['temperature']:g}, alpha {v['alpha']:g} (trial " in text
    assert text.endswith("This opens it, once: distill.run(searched.run, windows=windows)")


@pytest.mark.parametrize("stop", [{"at": 1}, {"line": "Trial 2 of"}, {"at": 7}, {"line": "Trial 12: accuracy"}])
def test_a_search_that_was_broken_off_ends_as_the_uninterrupted_one(whole, people, tmp_path, stop):
    folder = tmp_path / "search"
    first, second = Stop(**stop), Stop()
    with pytest.raises(KeyboardInterrupt):
        search(Run(**QUICK), SPACE, N, folder, people, first)
    searched = search(Run(**QUICK), SPACE, N, folder, people, second)
    assert searched.trials == whole[0].trials
    assert shas(folder) == shas(whole[0].folder)
    assert len(first.begun) + len(second.begun) == len(whole[1].begun)
    assert str(searched) == str(whole[0])


def test_a_search_goes_on_with_more_trials_and_shows_fewer(whole, people, tmp_path):
    assert search(Run(**QUICK), SPACE, 2, tmp_path, people).trials == whole[0].trials[:2]
    assert search(Run(**QUICK), SPACE, 4, tmp_path, people).trials == whole[0].trials[:4]
    told = Stop()
    assert search(Run(**QUICK), SPACE, 3, tmp_path, people, told).trials == whole[0].trials[:3]
    assert told.begun == told.said == []


def test_a_line_of_the_journal_that_was_cut_off_is_done_again(whole, people, tmp_path):
    search(Run(**QUICK), SPACE, 3, tmp_path, people)
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / f"{JOURNAL}.lock").symlink_to(path)
    told = Stop()
    assert search(Run(**QUICK), SPACE, 3, tmp_path, people, told).trials == whole[0].trials[:3]
    assert told.begun == []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert ["params" in line for line in lines] == [False, True, True, True]


def test_the_test_part_changes_nothing(whole, people, tmp_path):
    test = people.split == "test"
    labels, values = people.labels.copy(), people.values.copy()
    labels[test] = (labels[test] + 1) % 3
    values[test] = np.random.default_rng(1).normal(size=values[test].shape)
    searched = search(Run(**QUICK), SPACE, 3, tmp_path, replace(people, labels=labels, values=values))
    assert searched.trials == whole[0].trials[:3]
    assert shas(tmp_path).items() <= shas(whole[0].folder).items()


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_trial_that_diverges_is_told_and_does_not_stop(people, tmp_path):
    space = {"learning_rate": Span(low=1e-3, high=1e32, log=True)}
    told = Stop()
    searched = search(Run(**QUICK | {"epochs": 2}), space, 3, tmp_path, people, told)
    failed = {t.number for t in searched.trials if t.accuracy is None}
    assert 0 < len(failed) < 3
    for number in failed:
        assert any(line.startswith(f"Trial {number}: failed, ") for line in told.said)
    assert str(searched).count("failed") == len(failed)
    assert searched.best.number not in failed
    assert search(Run(**QUICK | {"epochs": 2}), space, 3, tmp_path, people).trials == searched.trials
    assert sum("teacher" in title for title in told.begun) > 2  # a learning rate is that of teachers, too


@pytest.mark.filterwarnings("ignore:overflow")
def test_all_trials_failed(people, tmp_path, says):
    with says(f"all 2 trials of '{tmp_path}' failed: lower the learning-rate or search other ranges"):
        search(Run(**QUICK | {"epochs": 2}), {"learning_rate": Span(low=1e31, high=1e32)}, 2, tmp_path, people)


def test_proposals_follow_from_the_trials_before_and_find_the_top():
    space = {"alpha": Span(low=0, high=1), "weight_decay": Span(low=1e-6, high=1e-2, log=True)}
    done = []
    for number in range(1, 41):
        values = propose(space, done, number)
        assert values == propose(space, list(done), number)
        height = -((values["alpha"] - 0.8) ** 2) - (np.log10(values["weight_decay"]) + 3) ** 2 / 16
        done.append(Trial(number=number, values=values, accuracy=float(height)))
    late = np.array([[t.values["alpha"], np.log10(t.values["weight_decay"])] for t in done[20:]])
    assert abs(np.median(late[:, 0]) - 0.8) < 0.15
    assert abs(np.median(late[:, 1]) + 3) < 0.7
    flat = [replace(t, accuracy=None) for t in done]
    assert propose(space, flat, 41) == propose(space, [], 41) != propose(space, done, 41)


def test_what_is_searched_are_the_numbers_that_can_be_selected():
    assert SEARCHED == ("lambda", "temperature", "alpha", "learning_rate", "weight_decay")


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (["lamda=0..1"], "unknown option to search 'lamda': did you mean 'lambda'? Valid: lambda, temperature, alpha, learning-rate, weight-decay"),
        (["epochs=1..9"], "unknown option to search 'epochs': Valid: lambda, temperature, alpha, learning-rate, weight-decay"),
        (["alpha=0..1", "alpha=0..2"], "space names alpha twice: give one range"),
        (["weight-decay=0.1,0.5"], "space 'weight-decay=0.1,0.5' is not understood: give a range, as weight-decay=0.1..0.9, or with :log after it"),
        (["alpha=0..x"], "space 'alpha=0..x' is not understood: give a range, as alpha=0.1..0.9, or with :log after it"),
        (["alpha"], "space 'alpha' is not understood: give a range, as alpha=0.1..0.9, or with :log after it"),
    ],
)  # fmt: skip
def test_spaces_that_are_none(says, space, sentence):
    with says(sentence):
        parse_space(space)


def test_ranges_as_they_may_be_written():
    assert parse_space(["lambda=.1...9", "learning-rate = 1e-4..1.:log"]) == {
        "lambda": Span(low=0.1, high=0.9),
        "learning_rate": Span(low=1e-4, high=1.0, log=True),
    }


@pytest.mark.parametrize(
    ("options", "space", "trials", "sentence"),
    [
        ({}, {"alpha": Span(low=0, high=1)}, 0, "trials 0 are not allowed: give a number from 1 on"),
        ({}, {}, 1, "no option to search is named: give a space, as lambda=0.1..0.9"),
        ({}, {"epochs": Span(low=1, high=9)}, 1, "unknown option to search 'epochs': Valid: lambda, temperature, alpha, learning_rate, weight_decay"),
        ({}, {"alpha": Span(low=1, high=1)}, 1, "the range of alpha from 1 to 1 is empty: give a lower and a higher number"),
        ({}, {"alpha": Span(low=0, high=1, log=True)}, 1, "the range of alpha from 0 to 1 has no logarithm: begin above 0, or leave out log"),
        ({}, {"lambda": Span(low=0, high=2)}, 1, "lambda 2.0 is not allowed: it is the weight of distillation, from 0 to 1"),
        ({"teacher": "wrn10-1:mtf"}, {"alpha": Span(low=0, high=1)}, 1,
         "alpha weighs one image teacher against one signal teacher, but the only teacher is wrn10-1:mtf: leave it out, or name one of each"),
        ({"select": ("alpha=0,1",)}, {"lambda": Span(low=0, high=1)}, 1, "select and a search choose both: leave out select"),
        ({"lambda_": 0.5}, {"alpha": Span(low=0, high=1), "lambda": Span(low=0, high=1)}, 1,
         "lambda 0.5 does nothing, as the search chooses it: leave out one of them"),
        ({"evaluate": "validation"}, {"lambda": Span(low=0, high=1)}, 1, "a search looks at validation subjects already: leave out evaluate validation"),
        ({"folds": "loso"}, {"lambda": Span(low=0, high=1)}, 1,
         "a search over folds would see everybody who is tested: search on one split, then give folds"),
        ({"protocol": "lab"}, {"lambda": Span(low=0, high=1)}, 1,
         "a search has no place in protocol lab, which chooses on the test part: take protocol clean"),
        ({"teacher": "wrn10-1@x"}, {"lambda": Span(low=0, high=1)}, 1,
         "a search trains without the validation subjects, and a teacher of an earlier run was trained on another split: name the teachers without @DIR"),
    ],
)  # fmt: skip
def test_searches_that_are_refused_write_nothing(people, tmp_path, says, options, space, trials, sentence):
    space = {name: replace(span, low=float(span.low), high=float(span.high)) for name, span in space.items()}
    with says(sentence):
        search(Run(**QUICK | options), space, trials, tmp_path / "search", people)
    assert not (tmp_path / "search").exists()


def test_the_folder_of_something_else_is_left_alone(whole, people, tmp_path, says):
    folder = whole[0].folder
    other = "choose another folder or remove it"
    with says(f"'{folder}' holds another search, with other options: {other}"):
        search(Run(**QUICK | {"epochs": 2}), SPACE, N, folder, people)
    with says(f"'{folder}' holds another search, with other space: {other}"):
        search(Run(**QUICK), SPACE | {"alpha": Span(low=0, high=0.5)}, N, folder, people)
    with says(f"'{folder}' holds another search, with other data: {other}"):
        search(Run(**QUICK), SPACE, N, folder, replace(people, values=people.values + 1))
    (tmp_path / "notes.txt").write_text("mine")
    with says(f"'{tmp_path}' is not empty and holds no search: choose another folder"):
        search(Run(**QUICK), SPACE, N, tmp_path, people)
    with says(f"'{tmp_path / 'notes.txt'}' is a file: choose a folder"):
        search(Run(**QUICK), SPACE, N, tmp_path / "notes.txt", people)
    with alone(folder), says(f"another process is at work in '{folder}': wait for it or choose another folder"):
        search(Run(**QUICK), SPACE, N, folder, people)


def test_a_journal_that_was_killed_in_its_first_line_is_begun_again(whole, people, tmp_path):
    search(Run(**QUICK), SPACE, 1, tmp_path, people)
    (tmp_path / JOURNAL).write_text('{"op_code":0')
    assert search(Run(**QUICK), SPACE, 1, tmp_path, people).trials == whole[0].trials[:1]


def test_a_damaged_journal_is_one_sentence(people, tmp_path):
    search(Run(**QUICK), SPACE, 1, tmp_path, people)
    (tmp_path / JOURNAL).write_text('{"op_code": \n')
    with pytest.raises(UserError, match=rf"^'.*{JOURNAL}' is damaged \(.*\): remove '.*' and search anew$"):
        search(Run(**QUICK), SPACE, 2, tmp_path, people)


def test_without_optuna_it_says_what_to_install(people, tmp_path, says, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with says("a search needs optuna, which is not installed: pip install 'tsimage[search]'"):
        search(Run(**QUICK), SPACE, 1, tmp_path / "search", people)
    assert not (tmp_path / "search").exists()


def test_from_the_command_line_to_the_run_that_opens_the_test_part(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = ["--teacher", "wrn10-1", "--student", "wrn10-1", "--image-size", "8", "--epochs", "1", "--seeds", "0"]
    args = ["search", *quick, "--channels", "acc*", "--space", "lambda=0.1..0.9", "alpha=0..1", "--trials", "2"]
    main(args)
    first, err = capfd.readouterr()
    assert err == ""
    (folder,) = (tmp_path / "runs").iterdir()
    run = Run(
        teacher="wrn10-1", student="wrn10-1", image_size=8, epochs=1, seeds=(0,), read=ReadOptions(channels="acc*")
    )
    assert folder.name == default_folder(run, parse_space(["lambda=0.1..0.9", "alpha=0..1"])).name
    assert "Trial 2 of 2: lambda " in first
    main(args)
    assert capfd.readouterr().out.splitlines()[-6:] == first.splitlines()[-6:]
    words = shlex.split(first.splitlines()[-1].partition("This opens it, once: ")[2])
    assert words[:2] == ["distill", "run"]
    main([*words[1:], "--dry-run"])
    assert "Split: the data set's own split: 40 windows to train, 40 for test" in capfd.readouterr().out
