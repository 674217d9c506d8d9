"""Rows compared: numbers against those of the predictions themselves, and what the notes say."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from distill.comparison import compare_runs, score_matrix
from distill.layout import read_result, write_result
from distill.records import read_records
from distill.rows import fold_rows
from distill.statistics import detectable
from tests.distill.made_runs import made_windows, make_run, rewrite


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for alpha in (0.1, 0.9):
        make_run(folder / f"a{alpha}", alpha=alpha)
    return folder


@pytest.fixture(scope="module")
def made(runs):
    return compare_runs(read_records([runs]))


def said(folder, model):
    """Rows of predictions.csv and, by seed, whether the model is right in each."""
    seen = pd.read_csv(folder / "predictions.csv", dtype=str)
    return seen, [seen[f"{model} seed {seed}"] == seen["label"] for seed in (0, 1, 2)]


def test_means_and_deviations_are_those_of_the_predictions(runs, made):
    _, right = said(runs / "a0.9", "student wrn10-1:signal")
    values = [100 * one.mean() for one in right]
    row = made.frame.iloc[4]
    assert row["name"] == "wrn10-1 distilled, alpha 0.9"
    assert row["alpha"] == 0.9
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert row["ci95"] == pytest.approx(4.302652729749 * np.std(values, ddof=1) / 3**0.5)
    assert row["n"] == 3
    assert list(row["seeds"]) == [0, 1, 2]


def test_differences_are_paired_by_seed(runs, made):
    _, student = said(runs / "a0.1", "student wrn10-1:signal")
    _, scratch = said(runs / "a0.1", "scratch wrn10-1:signal")
    differences = [100 * (a.mean() - b.mean()) for a, b in zip(student, scratch, strict=True)]
    row = made.frame.iloc[3]
    assert row["baseline"] == "wrn10-1 from scratch"
    assert row["difference"] == pytest.approx(np.mean(differences))
    assert row["difference_sd"] == pytest.approx(np.std(differences, ddof=1))
    low, high = stats.t.interval(0.95, 2, np.mean(differences), stats.sem(differences))
    assert row["difference_ci95"] == pytest.approx((high - low) / 2)
    assert row["detectable"] == pytest.approx(detectable(np.std(differences, ddof=1), 3, paired=True))
    assert made.frame.iloc[[0, 1, 2]]["pairs"].tolist() == [0, 0, 0]


def test_signed_ranks_are_of_accuracies_by_subject(runs, made):
    seen, student = said(runs / "a0.1", "student wrn10-1:signal")
    _, scratch = said(runs / "a0.1", "scratch wrn10-1:signal")
    by = [sum(right).groupby(seen["subject"]).mean() / 3 for right in (student, scratch)]
    row = made.frame.iloc[3]
    assert len(by[0]) == 6
    assert row["higher"] == (by[0] > by[1]).sum()
    p = stats.wilcoxon(by[0], by[1]).pvalue
    assert np.isnan(row["p"]) or row["p"] == pytest.approx(p, abs=0.03)  # scipy's own has no exact p with ties
    assert made.ranking.unit == "subjects"
    assert made.ranking.n == 6


def test_any_row_can_be_the_baseline(runs, says):
    records = read_records([runs])
    frame = compare_runs(records, baseline="alpha 0.9").frame
    assert frame["baseline"].tolist() == ["wrn10-1 distilled, alpha 0.9"] * 4 + [""]
    assert frame["pairs"].tolist() == [3, 3, 3, 3, 0]
    with says(
        "baseline 'distilled' is in 2 names of rows (wrn10-1 distilled, alpha 0.1; wrn10-1 distilled, alpha 0.9): give more of "
        "one"
    ):
        compare_runs(records, baseline="distilled")
    with says(
        "baseline 'vgg' is in no name of a row: choose one of teacher wrn10-1:gasf; teacher wrn10-1:signal; wrn10-1 from "
        "scratch; wrn10-1 distilled, alpha 0.1; wrn10-1 distilled, alpha 0.9"
    ):
        compare_runs(records, baseline="vgg")
    with says(
        "unknown metric 'f1': did you mean 'macro_f1'? Valid: accuracy, subject_accuracy, balanced_accuracy, macro_f1, ece"
    ):
        compare_runs(records, "f1")


def test_another_metric(runs, made):
    frame = compare_runs(read_records([runs]), "macro_f1").frame
    assert frame["mean"].tolist() == pytest.approx(made.frame["macro_f1"].tolist())


def test_folds_are_paired_too_and_their_interval_is_wider(tmp_path):
    folder = make_run(tmp_path / "one", folds="loso", seeds=(0, 1))
    row = compare_runs(read_records([folder])).frame.iloc[3]
    seen = pd.read_csv(folder / "predictions.csv", dtype=str)
    right = {
        role: sum((seen[f"{role} wrn10-1:signal seed {seed}"] == seen["label"]).astype(float) for seed in (0, 1)) / 2
        for role in ("student", "scratch")
    }
    differences = (100 * (right["student"] - right["scratch"])).groupby(seen["fold"]).mean()
    assert row["pairs"] == len(differences) == 8
    assert row["difference"] == pytest.approx(np.mean(differences))
    variance = np.var(differences, ddof=1) * (1 / 8 + 1 / 7)
    assert row["difference_ci95"] == pytest.approx(stats.t.ppf(0.975, 7) * variance**0.5)
    notes = compare_runs(read_records([folder])).notes
    assert any(
        "paired by seed and fold, each fold alike and once, as the mean over its seeds; their +- is over folds, and the interval "
        in note
        for note in notes
    )


def test_data_sets_are_what_is_ranked_where_there_are_six(tmp_path):
    for k in range(6):
        make_run(tmp_path / f"r{k}", made_windows(name=f"d{k}"), seeds=(0,))
    made = compare_runs(read_records([tmp_path]))
    scores, unit = score_matrix(made.rows)
    assert unit == made.ranking.unit == "data sets"
    assert scores.shape == (6, 4)
    assert list(scores) == [
        "teacher wrn10-1:gasf",
        "teacher wrn10-1:signal",
        "wrn10-1 from scratch",
        "wrn10-1 distilled",
    ]
    student = made.frame[made.frame["role"] == "student"]
    assert student["higher"].tolist() == [(scores.iloc[:, 3] > scores.iloc[:, 2]).sum()] * 6
    assert student["n"].tolist() == [1] * 6
    assert student["p_holm"].tolist() == student["p"].tolist()  # the same test six times is one
    assert any(note.endswith("signed-rank test of the accuracy across data sets.") for note in made.notes)
    assert student["sd"].isna().all()


def test_subjects_of_different_data_are_not_ranked(tmp_path):
    for k in range(2):
        make_run(tmp_path / f"r{k}", made_windows(name=f"d{k}"), seeds=(0,))
    assert compare_runs(read_records([tmp_path])).ranking is None


def test_a_warm_start_is_compared_with_its_control(tmp_path):
    frame = compare_runs(read_records([make_run(tmp_path / "one", warm_start=True)])).frame
    assert frame["role"].tolist() == ["teacher", "teacher", "scratch", "control", "student"]
    assert frame["baseline"].iloc[4] == "wrn10-1 from scratch, trained on"


def test_notes_say_what_is_missing_and_optimistic(tmp_path):
    make_run(tmp_path / "one", seeds=(0, 1), protocol="lab")
    make_run(tmp_path / "two", seeds=(0,), protocol="lab", alpha=0.9)
    (tmp_path / "two" / "result.json").unlink()
    notes = compare_runs(read_records([tmp_path])).notes
    assert notes[0] == (
        "Accuracy in % on the test part of made (54 windows of 6 subjects); +- is the sample standard deviation (ddof 1) over "
        "seeds. None is given below n = 3."
    )
    assert (
        "Optimistic: of every training the epoch that is best on the evaluation part itself counts (protocol lab)."
        in notes
    )
    missing = [note for note in notes if note.startswith("Missing")]
    assert missing == [
        "Missing: seed 0 of wrn10-1 distilled, alpha 0.9: its run is not finished; 0 of 4 trainings are done.",
        "Missing: seed 1 of wrn10-1 distilled, alpha 0.9: no run has this seed.",
    ]
    assert "With n = 2 nothing can be said of how small a difference would be seen." in notes


def openings(*folders):
    notes = compare_runs(read_records(folders)).notes
    return [note for note in notes if "opened" in note]


def test_the_table_counts_who_looked_at_the_test_part(tmp_path):
    make_run(tmp_path / "tried", evaluate="validation")
    assert openings(tmp_path) == []
    folders = [make_run(tmp_path / f"lambda-{x}", lambda_=x) for x in (0.1, 0.5)]
    other = make_run(tmp_path / "other", made_windows(people=6, name="else"))
    assert openings(folders[0]) == ["The test part of made was opened once, at the end of the run."]
    assert openings(*folders, other) == [
        "The test part of made was opened 2 times, at the end of each run; to take the best of them is to choose on it: "
        "choose by --select, or --evaluate validation.",
        "The test part of else was opened once, at the end of the run.",
    ]
    assert openings(make_run(tmp_path / "lab", protocol="lab")) == []  # which looks at it after every epoch


def test_seeds_that_agree_make_no_interval_of_folds_narrower(tmp_path):
    """The people are as many with ten seeds as with one."""
    for folder, seeds in (("one", (0,)), ("two", (0, 1, 2, 3))):
        path = make_run(tmp_path / folder, folds="4", seeds=seeds)
        content = read_result(path)
        for model in content["models"]:
            for scores in model["seeds"].values():
                scores["accuracy_by_fold"] = model["seeds"]["0"]["accuracy_by_fold"]
        write_result(path, content)
    first, second = (compare_runs(read_records([tmp_path / name])).frame.iloc[3] for name in ("one", "two"))
    for name in ("difference", "difference_sd", "difference_ci95", "pairs", "detectable"):
        assert first[name] == pytest.approx(second[name], nan_ok=True)
    assert np.isfinite(first["difference_ci95"])


def test_subjects_are_ranked_by_accuracy_whatever_the_metric(runs, made):
    ranking = compare_runs(read_records([runs]), "ece").ranking
    assert ranking.models == made.ranking.models
    np.testing.assert_array_equal(ranking.ranks, made.ranking.ranks)


def test_subjects_are_tested_with_every_seed_though_teachers_have_one(tmp_path):
    rows = fold_rows(read_records([make_run(tmp_path / "one", shared_teachers=True)]))
    scores, _ = score_matrix(rows)
    for row in rows:
        by = [scores_of["accuracy_by_subject"]["p2"] for scores_of in row.seeds.values()]
        assert scores.loc["p2", row.method] == pytest.approx(100 * np.mean(by))
    assert [len(row.seeds) for row in rows] == [1, 1, 3, 3]


def test_a_student_is_tested_across_its_own_subjects_beside_other_data(runs, made, tmp_path):
    make_run(tmp_path / "b", made_windows(name="other"))
    beside = compare_runs(read_records([runs / "a0.1", tmp_path])).frame
    assert beside["p"].iloc[6] == made.frame["p"].iloc[3]
    assert beside["higher"].iloc[6] == made.frame["higher"].iloc[3]


def test_precisions_are_told_apart(tmp_path):
    for precision in ("bf16", "fp32"):
        path = make_run(tmp_path / precision, precision=precision) / "run.json"
        about = json.loads(path.read_text())
        about["environment"]["precision"] = precision
        rewrite(path, about)
    frame = compare_runs(read_records([tmp_path])).frame
    assert frame["name"].is_unique
    assert frame["baseline"].tolist()[-2:] == [
        "wrn10-1 from scratch, precision bf16",
        "wrn10-1 from scratch, precision fp32",
    ]


def test_a_deviation_of_zero_promises_nothing(tmp_path):
    made = compare_runs(read_records([make_run(tmp_path / "one", skill={"scratch": 1, "student": 1})]))
    assert made.frame["difference_sd"].iloc[3] == 0
    assert np.isnan(made.frame["detectable"].iloc[3])
    assert "With n = 3 nothing can be said of how small a difference would be seen." in made.notes


def test_a_metric_that_is_not_known(tmp_path, says):
    nobody = replace(made_windows(), subjects=np.full(72, ""), recordings=np.full(72, ""))
    records = read_records([make_run(tmp_path / "one", nobody)])
    with says("metric subject_accuracy is not known of these runs, as their subjects are unknown: choose another"):
        compare_runs(records, "subject_accuracy")


def test_a_class_that_is_not_evaluated_is_named(runs, made, tmp_path):
    place = np.arange(72)
    labels = np.where((place >= 18) & (place % 3 == 2), 0, place % 3)
    notes = compare_runs(read_records([make_run(tmp_path / "one", made_windows(labels=labels))])).notes
    assert "No window of the test part of made is of class walk: nothing is said about it." in notes
    assert not any("nothing is said about it" in note for note in made.notes)


def test_no_runs_make_no_table(says):
    for none in ([], iter([])):
        with says("there is no run to put in a table: give run directories, folders of grids, or a folder of such"):
            compare_runs(none)
