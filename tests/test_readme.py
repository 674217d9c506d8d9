"""The README shows what was measured, and the commands that CI runs."""

import re

import numpy as np
import pandas as pd
import pytest

import tsimage


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
    from tsimage.cli import main as imaging

    helps = ""
    for main, command in ((distill, "run"), (imaging, "convert"), (imaging, "show")):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        helps += capsys.readouterr().out
    options = set(re.findall(r"--[a-z][a-z-]+", readme))
    assert options
    assert not {option for option in options if not re.search(rf"{option}(?![\w-])", helps)}


def test_the_table_of_speeds_is_the_committed_result(readme, repository):
    results = pd.read_csv(repository / "experiments" / "results" / "imaging.csv").set_index(["path", "case"])
    for path in ("pyts", "numpy", "torch", "numba", "memset"):
        row = next(line for line in readme.splitlines() if line.startswith(f"| {path} |"))
        for case, cell in zip(("stack", "gasf", "gadf", "mtf", "mtf 5000"), row.split("|")[2:7], strict=True):
            rate, ratio = results.loc[(path, case), ["windows_per_s", "ratio_to_pyts"]]
            assert cell.strip() == f"{float(f'{rate:.3g}'):,.0f} ({ratio:.3g}x)"


def test_the_large_conversion_is_the_committed_result(readme, repository):
    results = pd.read_csv(repository / "experiments" / "results" / "conversion.csv")
    assert f"{results['windows'].iloc[0]:,} windows became 20 GB" in readme
    assert f"in {results['seconds'].iloc[-1]:.0f} s with at most {results['anonymous_mb'].max():.0f} MB" in " ".join(
        readme.split()
    )


def test_the_imaging_section_runs_as_it_stands(readme):
    section = readme.partition("## Imaging")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names = {}
    for block in blocks:
        assert len([line for line in block.splitlines() if line and "import" not in line]) <= 6
        exec(block, names)
    assert len(blocks) == 3
    windows, images = names["windows"], names["images"]
    assert images.shape == (80, 24, 32, 32)
    clipped = np.clip(
        tsimage.paa(windows.values.astype(float), 32), *np.moveaxis(names["limits"], 1, 0)[:, None, :, None]
    )
    np.testing.assert_allclose(names["series"], clipped, atol=1e-4)
    assert names["logits"].shape == (80, 4)
    score = names["model"].score(windows.values[names["test"]], windows.labels[names["test"]])
    assert score > 0.9


def test_the_table_of_imputation_is_the_committed_result(repository):
    text = (repository / "experiments" / "README.md").read_text(encoding="utf-8")
    results = pd.read_csv(repository / "experiments" / "results" / "imputation.csv")
    errors = results.groupby(["set", "method"])["imputation_mse"].agg(["mean", "std"])
    for (name, method), row in errors.iterrows():
        line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        column = ["raw", "gasf", "line", "training mean"].index(method) + 4
        assert line.split("|")[column].strip() == f"{row['mean']:.5f} +- {row['std']:.5f}"
