"""A comparison in every format, and the command that writes it."""

import io
import json
from dataclasses import replace

import pandas as pd
import pytest

from distill.cli import main
from distill.comparison import compare_runs
from distill.formats import FORMATS, as_csv, as_json, as_latex, as_markdown, as_text
from distill.records import read_records
from tests.distill.made_runs import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    make_run(folder / "clean")
    make_run(folder / "lab", protocol="lab", seeds=(0, 1))
    return folder


@pytest.fixture(scope="module")
def made(folder):
    return compare_runs(read_records([folder]))


def test_text_shows_seeds_on_request(made):
    text = as_text(made)
    assert "by seed" not in text.splitlines()[0]
    shown = as_text(made, seeds=True)
    value = made.frame["seeds"].iloc[0][2]
    assert "by seed" in shown.splitlines()[0]
    assert f"2: {value:.2f}" in shown
    for name in made.frame["name"]:
        assert name in text
    assert all(note in text for note in made.notes)
    assert made.ranking.caption() in text


def test_optimistic_rows_and_missing_seeds_are_marked(made):
    named = tuple(f" {name} " for name in made.frame["name"])
    rows = [line for line in as_text(made).splitlines() if line.startswith(named)]
    lab = [line for line in rows if "protocol lab" in line]
    assert len(rows) == 2 * len(named) == 2 * len(lab)
    assert all("(optimistic)" in line for line in lab)
    assert all(" 2 of 3 " in line + " " and "+-" not in line for line in lab[: len(lab) // 2])
    clean = [line for line in as_text(made).splitlines() if "protocol clean" in line]
    assert not any("optimistic" in line for line in clean)


def test_markdown_has_as_many_cells_in_every_line(made):
    lines = [line for line in as_markdown(made).splitlines() if line.startswith("|")]
    first = lines[: 2 + len(made.frame)]
    assert len({line.count("|") for line in first}) == 1
    assert "±" in first[2]
    assert len(lines) == 2 * (2 + len(made.frame))


def test_csv_reads_back(made):
    frame = pd.read_csv(io.StringIO(as_csv(made)))
    assert frame["mean"].tolist() == pytest.approx(made.frame["mean"].tolist())
    assert json.loads(frame["seeds"].iloc[0]) == {str(k): v for k, v in made.frame["seeds"].iloc[0].items()}
    assert json.loads(frame["missing"].iloc[-1]) == {"2": "no run has this seed"}


def test_json_has_null_for_what_is_not_known(made):
    content = json.loads(as_json(made))
    assert content["rows"][-1]["sd"] is None
    assert content["rows"][0]["seeds"]["0"] == made.frame["seeds"].iloc[0][0]
    assert content["notes"] == list(made.notes)
    assert sum(content["ranking"]["mean_ranks"].values()) == pytest.approx(8 * 9 / 2)


def test_latex_is_booktabs_and_escaped(made):
    text = as_latex(made)
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 2
    assert r"95 \% interval" in text
    assert r"$\pm$" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.replace(r"\&", "").count("&") for line in body[: 1 + len(made.frame)]}) == 1
    assert all("%" not in line.replace(r"\%", "") for line in body)


@pytest.mark.parametrize(
    ("suffix", "format"), [("txt", "text"), ("md", "markdown"), ("csv", "csv"), ("tex", "latex"), ("json", "json")]
)
def test_the_command_writes_each(folder, made, tmp_path, suffix, format, capsys):
    path = tmp_path / "new" / f"t.{suffix}"
    main(["table", str(folder), "--out", str(path)])
    assert path.read_text() == FORMATS[format](made, False)
    main(["table", str(folder), "--format", format, "--seeds"])
    assert capsys.readouterr().out == FORMATS[format](made, True)


def test_the_command_draws_the_diagram(folder, tmp_path):
    main(["table", str(folder), "--diagram", str(tmp_path / "d.png"), "--out", str(tmp_path / "t.md")])
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_mistakes_are_one_sentence(folder, tmp_path, capsys):
    def fails(*args):
        with pytest.raises(SystemExit) as caught:
            main(["table", *args])
        assert caught.value.code == 2
        return capsys.readouterr().err.strip()

    assert fails(str(folder), "--out", str(tmp_path / "t.doc")).endswith(
        f"'{tmp_path / 't.doc'}' ends in no format: name it .txt, .md, .csv, .tex, .json, or give --format"
    )
    assert "unknown ending of a diagram '.gif'" in fails(str(folder), "--diagram", "d.gif")
    make_run(tmp_path / "few", folds="2", evaluate="validation")
    error = fails(str(tmp_path / "few"), "--diagram", str(tmp_path / "d.png"))
    assert "it takes two models or more on the same 6 subjects or data sets" in error


def test_notes_and_values_that_would_break_a_format(made):
    seeds = [{0: float("nan")}] * len(made.frame)
    odd = replace(made, frame=made.frame.assign(seeds=seeds), notes=("of folder\n\\end{document}",))
    assert as_latex(odd).splitlines().count(r"% of folder \end{document}") == 1
    assert json.loads(pd.read_csv(io.StringIO(as_csv(odd)))["seeds"].iloc[0]) == {"0": None}
