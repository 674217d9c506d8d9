"""The README shows what was measured, and the commands that CI runs."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest

import tsimage
from distill.statistics import spread
from tsimage.verification import verify


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


def test_the_table_of_people_left_out_is_the_committed_result(readme, repository):
    results = pd.read_csv(repository / "experiments" / "results" / "loso-hapt.csv")
    names = {
        "teacher wrn16-1:gasf": ("teacher", "gasf"),
        "teacher wrn16-1:signal": ("teacher", "signal"),
        "wrn16-1 from scratch": ("scratch", "signal"),
        "wrn16-1 distilled": ("student", "signal"),
    }
    accuracy = {}
    for name, (role, view) in names.items():
        rows = results[(results["role"] == role) & (results["view"] == view)].set_index("person")
        accuracy[name] = rows["accuracy"]
        cells = (
            np.average(rows["accuracy"], weights=rows["windows"]),
            rows["accuracy"].mean(),
            rows["accuracy"].std(ddof=1),
            rows["accuracy"].min(),
        )
        assert len(rows) == 30
        assert f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |" in readme.splitlines()
    difference = accuracy["wrn16-1 distilled"] - accuracy["wrn16-1 from scratch"]
    found = spread(difference.tolist())
    low, high = (found["mean"] + side * found["ci95"] for side in (-1, 1))
    assert (
        f"{found['mean']:.2f} +- {found['sd']:.2f} over people, 95 % interval {low:+.2f} to {high:+.2f}: better for "
        f"{(difference > 0).sum()}, worse for {(difference < 0).sum()}, equal for {(difference == 0).sum()}."
    ) in readme


def test_the_excerpt_of_the_table_of_the_reduced_grid_is_of_the_committed_one(readme, repository):
    section = readme.partition("## Results")[2].partition("## Can the numbers")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    whole = (repository / "experiments" / "results" / "reduced-hapt-table.md").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 6
    assert [line for line in rows if line in whole] == rows
    ours = pd.read_csv(repository / "experiments" / "results" / "reduced-hapt.csv")
    scratch = ours[ours["role"] == "scratch"].iloc[0]
    assert (
        f"| {scratch['mean']:.2f} ± {scratch['sd']:.2f} |" in rows[2]
    )  # the grid that went through kills says the same


def test_the_table_of_audits_is_the_committed_result(readme, repository):
    section = readme.partition("## Can the numbers be trusted?")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    found = pd.read_csv(repository / "experiments" / "results" / "audits.csv").set_index(["kind", "name", "data"])[
        "value"
    ]
    names = {
        "people in both parts": ("in both parts", "subjects", "{:.0f}"),
        "test windows with raw samples of training": (
            "in both parts",
            "windows with raw samples of training",
            "{:,.0f}",
        ),
    }
    checked = 0
    for title, *cells in rows[2:]:
        kind, name, form = names.get(title) or _audited(title)
        for data, cell in zip(("hapt", "hapt-leaky"), cells, strict=True):
            shown = [form.format(found[each, name, data]) for each in ([kind] if isinstance(kind, str) else kind)]
            assert cell.replace("**", "").split(" (")[0] == " / ".join(shown), title
            checked += 1
    assert checked >= 2 * 8


def _audited(title):
    what, _, name = title.partition(": ")
    if what == "canary":
        return ("canary under this split", "canary under a leaky split"), name, "{:.0f}"
    assert what == "accuracy, people apart / leaky"
    return ("accuracy with people apart", "accuracy under a leaky split"), name, "{:.1f}"


def test_what_is_said_of_the_reduced_grid_is_what_was_counted(repository):
    text = " ".join((repository / "experiments" / "README.md").read_text(encoding="utf-8").split())
    section = text.partition("## The reduced grid on HAPT")[2].partition(" ## ")[0]
    results = repository / "experiments" / "results"
    table = pd.read_csv(results / "reduced-hapt.csv")
    students = table[table["role"] == "student"]
    scratch = table[table["role"] == "scratch"].iloc[0]
    low, high = (students["difference"] + side * students["difference_ci95"] for side in (-1, 1))
    away = students[(low > 0) | (high < 0)].iloc[0]
    assert f"reaches {scratch['mean']:.2f} +- {scratch['sd']:.2f}" in section
    assert f"({students['difference'].max():.2f} to {students['difference'].min():.2f} on average" in section
    assert f"of the {len(students)} combinations" in section
    assert ((low > 0) | (high < 0)).sum() == 1
    assert (away["teacher"], away["lambda"], away["temperature"]) == ("wrn16-1:gasf", 0.7, 4.0)
    assert f"{low[away.name]:.2f} to {high[away.name]:.2f}" in section
    (kills,) = pd.read_csv(results / "grid-kills-reduced-hapt.csv").to_dict("records")
    assert f"went through {kills['kills']} kills" in section
    assert (
        f"{kills['everything']} times SIGKILL to everything, {kills['a worker']} to a worker, {kills['the launcher']} to the "
        f"launcher, and {kills['SIGTERM']} times SIGTERM, which was followed within {kills['slowest end after SIGTERM in s']} s. "
        f"All {kills['done']} trainings were done, none twice; {kills['gone on']} went on from a checkpoint; "
        f"{kills['checkpoints read']} checkpoints were read after kills, none was unreadable"
    ) in section
    assert (kills["trainings"], kills["done twice"], kills["unreadable"]) == (kills["done"], 0, 0)
    assert kills["changed by starting again"] == 0


def test_what_is_said_of_strong_teachers_is_what_was_measured(repository):
    text = " ".join((repository / "experiments" / "README.md").read_text(encoding="utf-8").split())
    section = text.partition("## A teacher that is better than the student")[2].partition(" ## ")[0]
    table = pd.read_csv(repository / "experiments" / "results" / "strong-teachers-hapt.csv")
    for role, network in (("teacher", "hydra"), ("scratch", "wrn16-1"), ("teacher", "wrn16-1")):
        row = table[(table["role"] == role) & (table["network"] == network)].iloc[0]
        assert f"{row['mean']:.2f} +- {row['sd']:.2f}" in section
    students = table[table["role"] == "student"]
    low, high = (students["difference"] + side * students["difference_ci95"] for side in (-1, 1))
    said = [
        f"{row.difference:+.2f} ({'95 % interval ' * (row.teacher == 'hydra:signal')}{low[row.Index]:+.2f} to {high[row.Index]:+.2f})"
        for row in students[students["lambda"] == 0.3].itertuples()
    ]
    assert len(said) == 3
    assert [numbers for numbers in said if numbers not in section] == []
    heavy = students[students["lambda"] == 0.7]
    assert f"by {-heavy['difference'].max():.2f} to {-heavy['difference'].min():.2f} points" in section
    assert (high[heavy.index] < 0).all()
    assert (students["difference"] < 0).all()


def test_what_is_said_of_kills_is_what_was_counted(repository):
    text = " ".join((repository / "experiments" / "README.md").read_text(encoding="utf-8").split())
    section = text.partition("## Kill trials")[2].partition(" ## ")[0]
    results = repository / "experiments" / "results"
    table = pd.read_csv(results / "kills.csv")
    runs, saves = table[table["run"] != "nothing but saves"], table[table["run"] == "nothing but saves"].iloc[0]
    assert f"small runs {runs['kills'].sum()} times" in section
    assert f"{saves['kills']:,} kills of a process" in section
    assert (runs["identical ends"] == runs["runs"]).all()
    assert not table[["unreadable checkpoints", "files left over"]].to_numpy().any()
    (cluster,) = pd.read_csv(results / "cluster.csv").to_dict("records")
    assert f"{cluster['done']} trainings, each done once" in section
    assert (cluster["trainings"], cluster["done twice"], cluster["identical"]) == (cluster["done"], 0, True)


def test_the_table_of_exported_students_is_the_committed_result(readme, repository):
    section = readme.partition("## On the device")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    found = pd.read_csv(repository / "experiments" / "results" / "export.csv")
    assert len(rows) == 2 + len(found)
    for row, one in zip(rows[2:], found.to_dict("records"), strict=True):
        assert row == [
            f"{one['samples']}",
            f"{one['eager_us']:.0f} µs",
            f"{one['float32_us']:.0f} µs",
            f"{one['int8_us']:.0f} µs",
            f"{one['int8_times_faster']:.1f}",
            f"{one['float32_bytes'] / 1024:.0f} and {one['int8_bytes'] / 1024:.0f} KiB",
            f"{one['difference']:.1e}",
            f"{100 * one['int8_agreement']:.1f} %",
        ]


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
    for main, command in (
        (distill, "run"),
        (distill, "grid"),
        (distill, "status"),
        (distill, "search"),
        (distill, "table"),
        (distill, "report"),
        (distill, "audit"),
        (distill, "export"),
        (distill, "predict"),
        (distill, "stream"),
        (distill, "stress"),
        (distill, "compare"),
        (imaging, "convert"),
        (imaging, "show"),
        (imaging, "info"),
    ):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        helps += capsys.readouterr().out
    options = set(re.findall(r"--[a-z][a-z-]+", readme))
    assert options
    foreign = {
        "--logdir",
        "--head",
        "--port",
        "--address",
        "--array",
        "--cpus-per-task",
        "--time",
        "--requeue",
        "--no-deps",
    }  # of other programs
    assert not {option for option in options - foreign if not re.search(rf"{option}(?![\w-])", helps)}


def test_the_commands_of_distillation_can_be_run(readme, monkeypatch, tmp_path, capsys):
    """Every command of the section is parsed as it stands, and those on the bundled set print their plan."""
    from distill.cli import main

    section = readme.partition("## Distillation beyond the defaults")[2].partition("\n## ")[0]
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for command in commands.strip().splitlines():
        words = shlex.split(command, comments=True)
        assert words[0] == "distill"
        if words[1] == "run" and "hapt" not in words and "@" not in command:
            small = ("--batch-size", "8", "--image-size", "8")  # some steps are done to estimate the time
            main([*words[1:], "--dry-run", "--seeds", "0", *small])
            assert "Loss of the student: L = " in (said := capsys.readouterr().out)
            assert said.rstrip().endswith("nothing was trained.")
        elif words[1] == "models":
            main(words[1:])
            assert "wrn28-3" in capsys.readouterr().out


def test_the_grid_of_the_section_on_many_runs_is_planned_as_it_says(readme, monkeypatch, tmp_path, capsys):
    from distill.cli import main

    section = readme.partition("## Many runs")[2].partition("\n## ")[0]
    (grid,) = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.toml").write_text(grid.replace("epochs = 20", "epochs = 1"))
    first, *_ = commands.strip().splitlines()
    main(shlex.split(first, comments=True)[1:])
    said = capsys.readouterr().out
    counts = re.search(r"Here (\d+) students need (\d+) trainings instead of (\d+)", section)
    assert f"{counts[1]} students in all" in said
    assert re.search(rf"{counts[2]} trainings, since \d+ of {counts[3]} are shared", said)
    assert not (tmp_path / "runs").exists()


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
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        assert len([line for line in block.splitlines() if line and "import" not in line]) <= 6
        alone = {}
        exec(block, alone)
        names |= alone
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


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """The folder that the README describes: 12 files at 50 Hz with semicolons and decimal commas, two of them faulty."""
    rng = np.random.default_rng(0)
    shake, swing, beat = (
        {"walk": 0.3, "sit": 0.02, "stairs": 0.5},
        {"walk": 0.4, "stairs": 0.6},
        {"walk": 1.8, "stairs": 1.2},
    )
    for person in ("ann", "bob", "cem", "dia"):
        for activity in shake:
            t = np.arange(1500) / 50
            x = rng.normal([0.1, 0.2, 0.97], shake[activity], (1500, 3))
            x[:, 0] += swing.get(activity, 0) * np.sin(2 * np.pi * beat.get(activity, 0) * t)
            rows = [f"{a:.2f};{b:.4f};{c:.4f};{d:.4f}".replace(".", ",") for a, (b, c, d) in zip(t, x, strict=True)]
            if (person, activity) == ("bob", "walk"):
                rows[10], rows[20], rows[300], rows[700] = "0,20;;0,1;0,9", "", rows[299], "14,0;0,1;broken;1"
                del rows[800:900]
            if (person, activity) == ("cem", "sit"):
                rows[50] += ";7"
                rows[600] = '"12,0;1'
            if (person, activity) == ("dia", "stairs"):  # an axis that is stuck for more than a second
                rows[400:460] = [row.split(";")[0] + ";0,5;" + row.split(";", 2)[2] for row in rows[400:460]]
            path = tmp_path / "recordings" / person / f"{activity}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("# device 7\nt;ax;ay;az\n" + "\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


FAULTS = {
    "missing value": [("bob/walk.csv", 13)],
    "empty line": [("bob/walk.csv", 23)],
    "repeated row": [("bob/walk.csv", 303)],
    "no number": [("bob/walk.csv", 703)],
    "wrong number of columns": [("cem/sit.csv", 53)],
    "unbalanced quote": [("cem/sit.csv", 603)],
}


def rejected(path):
    rows = pd.read_csv(path)
    rows = rows[rows["treatment"] == "rejected"]
    return {kind: list(zip(part["file"], part["line"], strict=True)) for kind, part in rows.groupby("reason")}


def test_your_own_recordings_from_look_to_table(readme, recordings, capsys):
    """The commands of the section as they stand; every planted fault is named with its file and line, each time."""
    from distill.cli import main as distill
    from tsimage.cli import main as imaging

    section = readme.partition("## Your own recordings")[2].partition("\n## ")[0]
    info, more = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    look, convert, run = (shlex.split(c) for c in (info + more).replace("\\\n", " ").strip().splitlines())

    imaging(look[1:])
    said = capsys.readouterr().out.splitlines()
    shown = re.search(r"```text\n(.*?)```", section, re.DOTALL)[1].splitlines()
    assert [line for line in shown if line.strip(" .") and line not in said] == []
    assert rejected("faults.csv") == FAULTS
    assert (recordings / "overview.png").stat().st_size > 10_000

    imaging(convert[1:])
    store = tsimage.open_store("images")
    assert len(store) == 254
    assert rejected("images/read-report.csv") == FAULTS
    assert store.manifest["source"]["rows"]["rejected"] == 6
    assert "verified" in verify(recordings / "images")

    capsys.readouterr()
    distill([*run[1:], "--epochs", "1", "--seeds", "0", "--out", "run"])
    table = capsys.readouterr().out
    assert "Read 17,900 rows: kept 17,894, rejected 6" in table
    assert "wrn16-1 distilled" in table
    assert rejected("run/read-report.csv") == FAULTS


def test_a_format_of_your_own(readme, tmp_path, monkeypatch, says):
    code = next(b for b in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if b.startswith("# my_format.py"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_format.py").write_text(code)
    np.savetxt("day1.mine", np.random.default_rng(0).normal(size=(300, 3)))
    windows = tsimage.load("day1.mine", format="my_format.py", window="2.56s")
    assert windows.ids.tolist() == ["day1:0-128", "day1:128-256"]
    (tmp_path / "empty.py").write_text("READER = 1\n")
    with says("format 'empty.py': the file must hold READER, a tsimage.readers.Reader, but holds a int"):
        tsimage.load("day1.mine", format="empty.py")
    with says("format 'none.py': there is no such Python file: give its path, or a name that tsimage formats lists"):
        tsimage.load("day1.mine", format="none.py")
