"""The parts of experiments/imputation.py, at toy size."""

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def imputation():
    spec = importlib.util.spec_from_file_location("imputation", REPOSITORY / "experiments" / "imputation.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["imputation"] = module
    spec.loader.exec_module(module)
    module.HIDDEN = 60
    yield module
    del sys.modules["imputation"]


def waves(n, length=12):
    phase = torch.rand((n, 1), generator=torch.Generator().manual_seed(3))
    return (1 + torch.sin(6 * (torch.arange(length) / length + phase))) / 2


def test_every_series_loses_its_share_of_samples_at_other_places(imputation):
    missing = imputation.lose((50, 40), torch.Generator().manual_seed(0))
    assert (missing.sum(dim=1) == 8).all()
    assert len({tuple(row.tolist()) for row in missing}) == 50
    assert missing.sum(dim=0).min() > 2
    assert missing.sum(dim=0).max() < 22


@pytest.mark.parametrize("name", ["raw", "gasf"])
def test_what_a_view_paints_it_reads_back(imputation, name):
    view = imputation.VIEWS[name]
    series = waves(5)
    rows = view.paint(series)
    assert rows.min() >= 0
    assert rows.max() <= 1
    torch.testing.assert_close(view.read(rows), series, rtol=0, atol=5e-4)


def test_a_missing_sample_is_black_on_the_diagonal_of_its_image(imputation):
    series = waves(1).masked_fill(torch.arange(12) == 4, 0)
    image = imputation.paint_gasf(series).reshape(12, 12)
    assert image[4, 4] == 0
    torch.testing.assert_close(image.diagonal(), series[0] ** 2)


def test_the_line_between_neighbours(imputation):
    series = torch.tensor([[0.0, 9.0, 9.0, 0.6, 0.2, 9.0]])
    missing = torch.tensor([[False, True, True, False, False, True]])
    torch.testing.assert_close(imputation.interpolate(series, missing), torch.tensor([[0.0, 0.2, 0.4, 0.6, 0.2, 0.2]]))
    assert series[0, 1] == 9


def test_the_errors_are_over_all_and_over_missing_samples(imputation):
    series = torch.zeros(2, 2)
    recovered = torch.tensor([[1.0, 0.0], [2.0, 3.0]])
    missing = torch.tensor([[True, False], [False, True]])
    assert imputation.errors(recovered, series, missing) == {"full_mse": 3.5, "imputation_mse": 5.0}


@pytest.mark.parametrize("name", ["raw", "gasf"])
def test_training_repeats_by_seed_learns_and_keeps_copies_of_its_steps(imputation, name):
    view, series = imputation.VIEWS[name], waves(30)
    missing = imputation.lose((30, 12), torch.Generator().manual_seed(1))
    broken = series.masked_fill(missing, 0)
    after = [imputation.recover(view, m, broken) for m in imputation.train(view, series, 5, [1, 60])]
    again = imputation.recover(view, imputation.train(view, series, 5, [60])[0], broken)
    torch.testing.assert_close(after[1], again, rtol=0, atol=0)
    (other,) = imputation.train(view, series, 6, [60])
    assert not torch.equal(imputation.recover(view, other, broken), again)
    first, last = (imputation.errors(result, series, missing)["imputation_mse"] for result in after)
    assert last < 0.8 * first


def test_the_report_stands_beside_the_paper(imputation):
    rows = pd.DataFrame(
        [
            {"set": name, "method": method, "seed": seed, "imputation_mse": value + 0.01 * seed}
            for name in imputation.PAPER
            for method, value in {"raw": 0.1, "gasf": 0.2, "line": 0.3, "training mean": 0.4}.items()
            for seed in range(3)
        ]
    )
    lines = imputation.report(rows).splitlines()
    expected = "ECG 0.02301 -> 0.01196 0.11000 +- 0.01000 0.21000 +- 0.01000 0.31000 0.41000"
    assert " ".join(lines[1].split()) == expected
    assert [line.split()[0] for line in lines[1:5]] == list(imputation.PAPER)
    assert lines[-1] == "n = 3 seeds"


def test_a_set_is_measured_the_same_way_for_every_method(imputation, monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "ucr20").mkdir()
    arrays = {f"CBF/X_{part}": rng.normal(size=(8, 12)).astype(np.float32) for part in ("train", "test")}
    np.savez(tmp_path / "ucr20" / "ucr20.npz", **arrays)
    monkeypatch.setenv("TSIMAGE_DATA", str(tmp_path))
    series = imputation.load("CBF", "test")
    assert (series.amin(dim=1) == 0).all()
    assert (series.amax(dim=1) == 1).all()
    short = {
        name: imputation.View(paint=v.paint, read=v.read, rate=1e-3, steps=2) for name, v in imputation.VIEWS.items()
    }
    monkeypatch.setattr(imputation, "VIEWS", short)
    rows = {row["method"]: row for row in imputation.measure("CBF", 0)}
    assert set(rows) == {"raw", "gasf", "line", "training mean"}
    assert rows["line"]["full_mse"] == pytest.approx(rows["line"]["imputation_mse"] * 2 / 12, rel=1e-5)
