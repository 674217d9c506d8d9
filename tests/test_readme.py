"""The README shows what was measured, and the commands that CI runs."""

import re

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["basic-motions", "hapt"])
def test_tables_are_the_committed_results(readme, repository, name):
    block = next(b for b in re.findall(r"```text\n(.*?)```", readme, re.DOTALL) if b.startswith(f"{name}: accuracy"))
    rows = [line for line in block.splitlines() if line.startswith((" teacher", " wrn"))]
    results = pd.read_csv(repository / "experiments" / "results" / f"{name}.csv")
    assert len(rows) == len(results)
    for row, (_, result) in zip(rows, results.iterrows(), strict=True):
        assert f"{result['mean']:.2f} +- {result['sd']:.2f}" in row
        assert result["seeds"] in row
        assert f"{result['parameters']:,}" in row
    student = results.iloc[-1]
    assert f"paired by seed: {student['difference']:+.2f} +- {student['difference_sd']:.2f}" in block


def test_the_effect_of_scaling_is_the_committed_result(readme, repository):
    for name in ("hapt", "basic-motions"):
        results = pd.read_csv(repository / "experiments" / "results" / f"scaling-{name}.csv")
        for _, result in results[(results["view"] == "gasf") & (results["role"] == "teacher")].iterrows():
            row = next(line for line in readme.splitlines() if line.startswith(f"| `{result['scaling']}`"))
            assert f"{result['mean']:.2f} +- {result['sd']:.2f}" in row


def test_the_two_commands_are_there_and_ci_runs_the_second(readme, repository):
    assert "pip install -e . && distill run --teacher wrn28-3 --student wrn16-1" in readme.splitlines()
    assert 'pip install -e ".[test]" && pytest' in readme.splitlines()
    assert "README.md" in (repository / ".ci" / "run").read_text(encoding="utf-8")


def test_every_option_that_the_readme_names_exists(readme, capsys):
    from distill.cli import main as distill
    from tsimage.cli import main as tsimage

    helps = ""
    for main, command in ((distill, "run"), (tsimage, "convert"), (tsimage, "show")):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        helps += capsys.readouterr().out
    options = set(re.findall(r"--[a-z][a-z-]+", readme))
    assert options
    assert not {option for option in options if not re.search(rf"{option}\b", helps)}
