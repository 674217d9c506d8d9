"""Table, words and curves of scores under stress, against numbers by hand."""

from types import SimpleNamespace

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest

from distill.report.theme import looks
from distill.stress import Stress, compared, stress_curves, summary
from distill.stress.measuring import COLUMNS
from distill.stress.wording import as_text

ROLES = {"teacher a:gasf": "teacher", "from scratch": "scratch", "distilled": "student"}
GIVEN = {  # accuracies in percent of seeds 0, 1, 2
    ("clean", ""): {"teacher a:gasf": (80,) * 3, "from scratch": (70, 72, 74), "distilled": (75, 78, 78)},
    ("noise", "0"): {"teacher a:gasf": (50,) * 3, "from scratch": (60, 60, 60), "distilled": (60, 61, 62)},
    ("noise", "-5"): {"teacher a:gasf": (20,) * 3, "from scratch": (40, 50, 45), "distilled": (30, 40, 35)},
    ("scaling", "0.5"): {"teacher a:gasf": (70,) * 3, "from scratch": (70, 71, 72), "distilled": (70, 70, 70)},
    ("scaling", "0.75"): {"teacher a:gasf": (70,) * 3, "from scratch": (70, 71, 72), "distilled": (71, 71, 71)},
    ("scaling", "2"): {"teacher a:gasf": (70,) * 3, "from scratch": (70, 71, 72), "distilled": (72, 72, 72)},
    ("dropped", "acc-x"): {"teacher a:gasf": (80,) * 3, "from scratch": (70, 72, 74), "distilled": (76, 79, 79)},
}


def frame(seeds=3, given=GIVEN):
    rows = [
        (condition, level, model, ROLES[model], seed, "", value / 100, value / 200)
        for (condition, level), by_model in given.items()
        for model, values in by_model.items()
        for seed, value in enumerate(values[:seeds])
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_means_drops_and_paired_differences_by_hand():
    found = compared(frame()).set_index(["condition", "level", "model"])
    row = found.loc[("noise", "-5", "distilled")]
    assert row[["mean", "sd", "n", "drop", "macro_f1"]].tolist() == pytest.approx([35, 5, 3, 42, 17.5])
    assert row[["difference", "difference_sd", "pairs"]].tolist() == pytest.approx([-10, 0, 3], abs=1e-9)
    row = found.loc[("noise", "0", "distilled")]
    assert row["difference"] == pytest.approx(1)
    assert row["difference_ci95"] == pytest.approx(4.3026527 / np.sqrt(3))
    assert found.loc[("noise", "0", "from scratch"), "pairs"] == 0
    assert found.loc[("clean", "", "teacher a:gasf"), "drop"] == 0


def test_pairs_are_seeds_that_both_have():
    made = frame()
    lacking = made[~((made["model"] == "from scratch") & (made["seed"] == 0))]
    row = compared(lacking).query("condition == 'noise' and level == '0' and role == 'student'").iloc[0]
    assert (row["n"], row["pairs"], row["difference"]) == (3, 2, pytest.approx(1.5))
    assert np.isnan(row["difference_ci95"])


def test_with_a_control_the_control_is_the_baseline():
    made = frame()
    control = made[made["role"] == "scratch"].assign(role="control", model="from scratch, trained on")
    control["accuracy"] += 0.05
    both = compared(pd.concat([made, control]))
    row = both.query("condition == 'noise' and level == '0' and role == 'student'").iloc[0]
    assert (row["baseline"], row["difference"]) == ("from scratch, trained on", pytest.approx(-4))


def test_folds_that_share_windows_widen_the_interval():
    whole = frame(2, {key: GIVEN[key] for key in [("clean", ""), ("noise", "0")]})
    gains = {"ann": (1, 3), "bob": (4, 4), "eve": (5, 7)}  # points, by seed: 2, 4 and 6 on average
    folds = [
        ("noise", "0", model, role, seed, fold, (0.5 + (gain / 100 if role == "student" else 0)), 0.4)
        for fold, by_seed in gains.items()
        for seed, gain in enumerate(by_seed)
        for model, role in (("from scratch", "scratch"), ("distilled", "student"))
    ]
    given = pd.concat([whole, pd.DataFrame(folds, columns=list(COLUMNS))])
    run = SimpleNamespace(test_to_train=0.5)
    found = Stress(record=run, frame=given, about={}, was_measured=True).table
    row = found[(found["condition"] == "noise") & (found["role"] == "student")].iloc[0]
    assert (row["pairs"], row["difference"], row["difference_sd"]) == (3, pytest.approx(4), pytest.approx(2))
    assert row["difference_ci95"] == pytest.approx(4.3026527 * 2 * np.sqrt(1 / 3 + 0.5))
    assert (row["n"], row["mean"]) == (2, pytest.approx(60.5))  # of all windows
    assert len(found) == len(compared(whole))


def test_the_text_is_whole():
    lines = as_text(compared(frame())).splitlines()
    assert lines[0].split("  ")[0].strip() == "condition"
    cells = [[cell for cell in line.split("  ") if cell.strip()] for line in lines]
    assert [cell.strip() for cell in cells[2]] == [
        "clean",
        "72.00 +- 2.00",
        "77.00 +- 1.73",
        "+5.00",
        "+2.52 to +7.48",
        "80.00 +- 0.00",
    ]
    noise = next(line for line in lines if line.strip().startswith("noise"))
    assert noise.split()[:2] == ["noise", "0"]
    after = lines[lines.index(noise) + 1]
    assert " ".join(after.split()) == "-5 45.00 +- 5.00 27.00 35.00 +- 5.00 42.00 -10.00 -10.00 to -10.00 20.00 +- 0.00"
    assert "-0.00" not in "".join(lines)
    one = as_text(compared(frame(seeds=1)))
    assert "+-" not in one
    assert " to " not in one


def test_the_worst_in_words():
    assert summary(frame()) == (
        "Distilled: 77.00 +- 1.73 % on undamaged windows. Worst: noise at -5 dB, 35.00 +- 5.00 % (42.00 points less). Mildest "
        "of 3 conditions, each at its worst level: channel acc-x dropped, 78.00 +- 1.73 % (1.00 points more)."
    )
    few = {key: GIVEN[key] for key in [("clean", ""), ("noise", "0")]}
    assert (
        summary(frame(1, few))
        == "Distilled: 75.00 % on undamaged windows. Worst: noise at 0 dB, 60.00 % (15.00 points less)."
    )
    assert summary(frame(given={("clean", ""): GIVEN["clean", ""]})) == ""


def test_curves_are_means_and_bands_a_deviation_each_way():
    models = looks(ROLES)
    figure = stress_curves(frame(), models)
    noise, scaling, dropped = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["noise", "scaling", "dropped"]
    assert [tick.get_text() for tick in noise.get_xticklabels()] == ["clean", "0", "-5"]
    assert [tick.get_text() for tick in scaling.get_xticklabels()] == ["0.5", "0.75", "clean", "2"]
    lines = {line.get_label(): line for line in noise.lines}
    assert list(lines) == list(ROLES)
    np.testing.assert_allclose(lines["distilled"].get_ydata(), [77, 61, 35])
    np.testing.assert_allclose(scaling.lines[2].get_ydata(), [70, 71, 77, 72])
    for name, look in models.items():
        assert (lines[name].get_color(), lines[name].get_marker()) == (look.colour, look.marker)
    band = noise.collections[2]
    np.testing.assert_allclose(
        sorted({round(y, 6) for y in band.get_paths()[0].vertices[:, 1]}),
        sorted({round(m + s, 6) for m, sd in zip((77, 61, 35), (np.sqrt(3), 1, 5), strict=True) for s in (sd, -sd)}),
    )
    assert matplotlib.colors.to_hex(band.get_facecolor()[0]) == models["distilled"].colour
    points = next(line for line in dropped.lines if line.get_label() == "distilled")
    assert points.get_linestyle() == "None"  # channels have no order
    np.testing.assert_allclose(points.get_xdata(), [0.13, 1.13])
    assert figure.legends[0].get_texts()[2].get_text() == "distilled"


def test_one_seed_has_no_band():
    figure = stress_curves(frame(seeds=1))
    assert not any(axes.collections for axes in figure.axes)
    assert figure.get_supxlabel() == "One seed."
    assert (
        stress_curves(frame()).get_supxlabel() == "Means over 3 seeds; bands and bars: a standard deviation each way."
    )


def test_points_of_many_models_stay_at_their_channel():
    rows = [
        (condition, level, f"model {k}", "teacher", 0, "", share, share)
        for condition, level, share in (("clean", "", 0.9), ("dropped", "x", 0.0), ("dropped", "y", 0.1))
        for k in range(12)
    ]
    axes = stress_curves(pd.DataFrame(rows, columns=list(COLUMNS))).axes[0]
    for line in axes.lines:
        assert np.abs(np.asarray(line.get_xdata()) - [0, 1, 2]).max() < 0.45
    assert len({line.get_xdata()[0] for line in axes.lines}) == 12
    assert axes.get_ylim()[0] == -2


def test_empty_panels_are_blank():
    given = dict(GIVEN) | {("stuck", "1/3"): GIVEN["noise", "0"]}
    figure = stress_curves(frame(given=given))
    assert [axes.axison for axes in figure.axes] == [True] * 4 + [False] * 2
