"""Reports on runs: what a page says is what the runs hold, and what cannot be had is a sentence."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import distill
from distill.cli import main
from distill.comparison import compare_runs
from distill.losses.similarity import sp
from distill.records import read_records
from distill.report import models, origin, results, sights
from distill.report.networks import latencies, network_of, networks_of, similarities
from distill.report.report import report
from distill.report.study import study_of
from distill.stress import CONDITIONS, stress
from distill.trace import Trace
from tests.distill.made_runs import made_windows, make_run
from tests.distill.tiny_runs import QUICK


@pytest.fixture(scope="module")
def windows():
    return made_windows()


@pytest.fixture(scope="module")
def runs(windows, tmp_path_factory):
    """Two runs that differ in alpha."""
    folder = tmp_path_factory.mktemp("runs")
    for alpha in (0.2, 0.8):
        run = distill.Run(**QUICK | {"seeds": (0, 1), "alpha": alpha})
        distill.run(run, windows=windows, folder=folder / f"a{alpha}")
    return folder


@pytest.fixture(scope="module")
def study(runs, windows):
    return study_of([runs], windows=windows)


@pytest.fixture
def copied(runs, tmp_path):
    shutil.copytree(runs / "a0.2", tmp_path / "run")
    return tmp_path / "run"


def text_of(page):
    return re.sub(r"<[^>]+>", " ", page.html())


def test_the_page_has_every_section(study):
    page = report(study)
    assert [section.title for section in page.sections] == [
        "Results",
        "What the settings do",
        "The run in detail",
        "Learning curves",
        "Confusion matrices",
        "Accuracy by subject",
        "Reliability",
        "What accuracy costs",
        "Windows and their images",
        "Where teacher and student disagree",
        "What is alike to whom",
        "Split certificate",
        "How to make it again",
    ]
    said = text_of(page)
    assert "From here on everything is about one run: a0.2, the first that is finished" in said
    for note in study.comparison.notes:
        assert note.split(";")[0] in said.replace("\N{PLUS-MINUS SIGN}", "+-")


def test_networks_are_those_that_were_evaluated(study):
    networks, lacking = networks_of(study)
    assert lacking == []
    values = torch.from_numpy(study.windows.values[study.positions])
    for name, (model, view) in networks.items():
        with torch.no_grad():
            logits = model(view.of(values)).numpy()
        np.testing.assert_allclose(logits, study.rows[name].logits(0), rtol=1e-4, atol=1e-5)


def test_similarities_are_those_of_the_loss(study):
    networks, _ = networks_of(study)
    values = torch.from_numpy(study.windows.values[:6])
    made = similarities(networks, values)
    teacher, student = ("teacher wrn10-1:gasf", "distilled")
    traces = []
    for name in (student, teacher):
        model, view = networks[name]
        with torch.no_grad():
            maps = model.trace(view.of(values)).maps
        traces.append(Trace(logits=torch.zeros(6, 3), maps=maps[-1:]))
    loss = sp(traces[0], traces[1:], torch.zeros(6, dtype=torch.long), torch.ones(1))["sp"].item()
    assert np.mean((made[student] - made[teacher]) ** 2) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(np.linalg.norm(made[teacher], axis=1), 1, rtol=1e-5)


def test_latencies_are_of_every_network_and_leave_the_threads_alone(study):
    networks, _ = networks_of(study)
    before = torch.get_num_threads()
    found = latencies(networks, torch.from_numpy(study.windows.values[:1]), rounds=3)
    assert torch.get_num_threads() == before
    assert list(found.index) == list(study.rows)
    assert (found["low"] > 0).all()
    assert ((found["low"] <= found["median"]) & (found["median"] <= found["high"])).all()


def test_confusions_count_every_window_and_seed(study):
    matrices = models.confusions(study).parts[0].counts
    for name, row in study.rows.items():
        right = sum((row.said(seed)["said"] == row.said(seed)["label"]).sum() for seed in (0, 1))
        assert matrices[name].sum() == 2 * 54
        assert np.trace(matrices[name]) == right


def test_disagreements_add_up(study):
    table = sights.disagreement(study).parts[0]
    assert [row[0] for row in table.rows] == ["teacher wrn10-1:gasf", "teacher wrn10-1:signal"]
    both_right = {}
    student = study.rows["distilled"].said(0)
    for name, *counts, same in table.rows:
        assert sum(counts) + same == 54
        theirs = study.rows[name].said(0)
        both_right[name] = int(((theirs["said"] == theirs["label"]) & (student["said"] == student["label"])).sum())
        assert (student["said"] == student["label"]).sum() == counts[1] + both_right[name]


def test_the_certificate_is_that_of_the_run(study):
    facts, table = origin.certificate(study).parts
    assert dict(facts.items)["subjects in both parts"] == "none"
    assert dict(facts.items)["raw samples in both parts"] == "0"
    assert [(row[0], row[1], row[2]) for row in table.rows] == [("train", 18, 2), ("test", 54, 6)]


def test_the_command_does_the_same_run(study, runs):
    code = next(
        part for part in origin.versions(study).parts if getattr(part, "label", "") == "Command that does this run"
    )
    assert code.content.startswith("distill run --teacher wrn10-1 --student wrn10-1 --data made")
    assert "--alpha 0.2" in code.content


def test_the_lead_counts_and_does_not_boast(study):
    assert results.lead(study.comparison).startswith("2 distilled students with accuracy from ")
    one = study_of([study.record.folder], windows=study.windows)
    assert results.lead(one.comparison).startswith("wrn10-1 distilled: accuracy ")


def test_detail_chooses_the_run(runs, windows, says):
    assert study_of([runs], detail="0.8", windows=windows).record.run.alpha == 0.8
    with says("detail 'a0' is in 2 names of finished runs: choose one of a0.2; a0.8"):
        study_of([runs], detail="a0", windows=windows)
    with says("detail 'x' is in no name of a finished run: choose one of a0.2; a0.8"):
        study_of([runs], detail="x", windows=windows)


def test_without_the_windows_all_else_is_there(copied, windows):
    other = replace(windows, values=windows.values + 1)
    for given, why in (
        (other, "The data 'made' now give other windows than those of this run, so none are drawn."),
        (None, f"No windows are drawn: the data of run '{copied}' cannot be read here: "),
    ):
        study = study_of([copied], windows=given)
        assert study.why_not.startswith(why)
        assert networks_of(study) == ({}, [])
        assert sights.alike(study, {}) is None
        assert sights.examples(study).parts[0].content == study.why_not
        assert sights.disagreement(study).parts[1].content == study.why_not


def test_lost_weights_are_a_sentence(copied, windows):
    shutil.rmtree(copied / "seed-0" / "student-wrn10-1")
    (copied / "seed-0" / "teacher-wrn10-1-gasf" / "weights.safetensors").write_bytes(b"no")
    study = study_of([copied], windows=windows)
    networks, lacking = networks_of(study)
    assert list(networks) == ["teacher wrn10-1:signal", "from scratch"]
    path = copied / "seed-0" / "teacher-wrn10-1-gasf" / "weights.safetensors"
    assert lacking[0].startswith(f"teacher wrn10-1:gasf: '{path}' is missing or not as it was written")
    assert lacking[1] == "distilled: its weights are no longer there."
    assert sights.alike(study, networks) is not None


def test_a_changed_history_is_a_sentence(copied, windows):
    path = copied / "seed-1" / "scratch-wrn10-1" / "history.jsonl"
    path.write_text(path.read_text().replace("1", "2", 1))
    charts, notice = models.learning(study_of([copied], windows=windows)).parts
    assert notice.content.startswith(f"from scratch, seed 1: '{path}' is missing or not as it was written")
    assert len(charts.charts) == 2


def test_what_was_stressed_is_on_the_page(copied, windows):
    assert "Robustness" not in [section.title for section in report(study_of([copied], windows=windows)).sections]
    found = stress(copied, ["jitter"], windows=windows)
    section = next(s for s in report(study_of([copied], windows=windows)).sections if s.title == "Robustness")
    curves, numbers, notes, meanings = section.parts
    assert curves.caption == found.summary.replace("+-", "\N{PLUS-MINUS SIGN}")
    assert [row[0] for row in numbers.rows] == ["clean", "jitter 0.06", "jitter 0.09", "jitter 0.12"]
    worst = found.table[(found.table["level"] == "0.12") & (found.table["role"] == "student")].iloc[0]
    assert numbers.columns[-3:] == ("distilled", "difference", "its 95 % interval")
    assert [cell.value for cell in numbers.rows[3][-3:-1]] == [worst["mean"], worst["difference"]]
    assert notes.content.replace("\N{PLUS-MINUS SIGN}", "+-") == "\n\n".join(
        note for note in found.notes() if not note.startswith("drop:")
    )
    assert meanings.rows == (("jitter", CONDITIONS["jitter"].meaning),)
    path = copied / "stress.json"
    path.write_text(path.read_text().replace("0", "1", 1))
    section = next(s for s in report(study_of([copied], windows=windows)).sections if s.title == "Robustness")
    assert section.parts[0].notice
    assert section.parts[0].content == (
        f"What was measured is not shown: '{path}' is not as it was written (its sha256 differs): measure it anew with distill "
        f"stress {copied} --again."
    )


def test_names_are_text(tmp_path):
    windows = replace(made_windows(), class_names=("<script>alert(1)</script>", "sit & lie", 'w"alk'))
    page = report(study_of([make_run(tmp_path / "run", windows)], windows=windows)).html()
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_folds_and_ridges(tmp_path, windows):
    run = distill.Run(**QUICK | {"teacher": ("minirocket:signal", "wrn10-1:gasf"), "folds": "2"})
    distill.run(run, windows=windows, folder=tmp_path / "run")
    study = study_of([tmp_path / "run"], windows=windows)
    assert network_of(study, study.rows["teacher minirocket:signal"]) is None
    page = report(study)
    said = text_of(page)
    assert "of the first fold" in said
    assert "The run in detail" not in said  # there is one, and nothing lacks
    assert len(next(s for s in page.sections if s.title == "Split certificate").parts[1].rows) == 4


def test_nothing_finished(copied, says):
    (copied / "result.json").unlink()
    with says(f"no run of '{copied}' is finished (is not finished; 8 of 8 trainings are done): finish one first"):
        study_of([copied])


def test_the_command_writes_the_page(runs, tmp_path, capsys):
    main(["report", str(runs), "--out", str(tmp_path / "new" / "page.html")])
    assert capsys.readouterr().out == f"wrote {tmp_path / 'new' / 'page.html'}\n"
    page = (tmp_path / "new" / "page.html").read_text()
    assert "Confusion matrices" in page
    assert "cannot be read here" in page  # the windows were given from memory
    with pytest.raises(SystemExit) as caught:
        main(["report", str(runs), "--out", "page.pdf"])
    assert caught.value.code == 2
    assert "the name of the page must end in .html" in capsys.readouterr().err


def test_the_lead_says_what_part_how_sure_and_how_honest(tmp_path):
    path = make_run(tmp_path / "one", protocol="lab", evaluate="validation", skill={"scratch": 0.1, "student": 1})
    comparison = compare_runs(read_records([path]))
    row = comparison.frame.iloc[3]
    low, high = (row["difference"] + sign * row["difference_ci95"] for sign in (-1, 1))
    said = results.lead(comparison)
    assert said.startswith(
        "wrn10-1 distilled (optimistic): accuracy 100.00 ± 0.00 % on the validation part over 3 seeds;"
    )
    assert said.endswith(f" points, 95 % interval {low:+.2f} to {high:+.2f}.")


def test_the_lead_counts_only_differences_with_an_interval(tmp_path):
    make_run(tmp_path / "a", alpha=0.1, seeds=(0, 1))
    make_run(tmp_path / "b", alpha=0.9, seeds=(0, 1))
    said = results.lead(compare_runs(read_records([tmp_path])))
    assert said.endswith("on the test part; too few pairs for an interval of the differences to the baseline.")
    make_run(tmp_path / "c", alpha=0.9, seeds=(0, 1, 2), skill={"scratch": 0.1, "student": 1})
    said = results.lead(compare_runs(read_records([tmp_path / "c", make_run(tmp_path / "d", alpha=0.5)])))
    assert "; of 2 differences to the baseline with a 95 % interval, " in said


def test_a_sweep_joins_no_points_of_other_data_or_networks(tmp_path, monkeypatch):
    for alpha in (0.1, 0.5):
        make_run(tmp_path / f"x{alpha}", made_windows(name="x"), alpha=alpha, seeds=(0,))
        make_run(tmp_path / f"y{alpha}", made_windows(name="y"), alpha=alpha, seeds=(0,))
        make_run(tmp_path / f"w{alpha}", made_windows(name="x"), alpha=alpha, seeds=(0,), student="wrn16-1")
    drawn = []
    monkeypatch.setattr(results, "sweep_curves", lambda found, **_: drawn.append(found))
    results.sweeps(study_of([tmp_path]))
    assert drawn[0].groupby("curve")["value"].apply(sorted).to_dict() == {
        f"{network}, on {data}": [0.1, 0.5] for network, data in (("wrn10-1", "x"), ("wrn10-1", "y"), ("wrn16-1", "x"))
    }


def test_the_command_makes_the_same_page(runs, windows):
    given = [runs / "a0.2", runs / "a0.8"]
    study = study_of(given, "macro_f1", baseline="wrn10-1 from scratch", detail="0.8", windows=windows)
    assert study.command == (
        f"distill report {given[0]} {given[1]} --metric macro_f1 --baseline 'wrn10-1 from scratch' --detail 0.8"
    )
    assert study.command in [getattr(part, "content", "") for part in origin.versions(study).parts]


def test_teachers_that_moved_away_leave_all_else(copied, windows):
    distilled = replace(distill.Run(**QUICK), teacher=(f"wrn10-1:gasf@{copied}",))
    folder = copied.parent / "after"
    distill.run(distilled, windows=windows, folder=folder)
    copied.rename(copied.parent / "moved")
    study = study_of([folder], windows=windows)
    assert study.why_not.startswith("No windows are drawn: teacher wrn10-1:gasf of")
    assert "Reliability" in [section.title for section in report(study).sections]


def test_shared_teachers_are_counted_once(tmp_path, windows):
    section = models.confusions(study_of([make_run(tmp_path / "run", windows, shared_teachers=True)]))
    counts, note = section.parts
    assert {name: made.sum() for name, made in counts.counts.items()} == {
        "teacher wrn10-1:gasf": 54,
        "teacher wrn10-1:signal": 54,
        "from scratch": 162,
        "distilled": 162,
    }
    assert note.content.endswith(
        "each window counts 3 times. The teachers are of one seed, so there each window counts once."
    )
