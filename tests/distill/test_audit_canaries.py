import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

import distill
from distill.audit.canaries import BINS, LOUD, Canary, Heard, canaries, every_other, halves
from distill.audit.chance import ALARM, chance_bound
from distill.audit.planting import chains, doubled, laid_noise, most_alike, signatures, with_values
from distill.plan import Plan
from tests.distill.studies import by_window, study
from tests.distill.tiny_runs import QUICK
from tsimage.imager import Imager

NAMES = ("same subject", "same recording", "overlapping windows", "scaling on all data", "duplicates before the split")


def voices(windows, folds="", seed=0):
    return {canary.name: canary.voice for canary in canaries(windows, folds, seed=seed)}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9), st.data())
def test_the_bound_is_above_the_exact_probability_of_every_outcome(sizes, data):
    signs = data.draw(st.tuples(*[st.sampled_from([-1, 1])] * len(sizes)))
    margins = np.array(sizes) * signs
    sums = [np.dot(sizes, coins) for coins in itertools.product([-1, 1], repeat=len(sizes))]
    assert chance_bound(margins) >= np.mean([total >= margins.sum() for total in sums]) - 1e-12


def test_the_bound_of_equal_clusters_is_that_of_coins():
    right = np.array([1.0] * 70 + [-1.0] * 30)
    assert chance_bound(right) == pytest.approx(np.exp(-8))
    assert binom.sf(69, 100, 0.5) < chance_bound(right) < ALARM
    assert chance_bound(np.repeat(right, 1)) == chance_bound(50 * right)  # windows of a cluster are no further throws
    assert chance_bound(-right) == 1


def own(windows, held):
    return np.where(np.isin(windows.subjects, held), "test", "train")


STRUCTURES = {
    "by subject": (study(), ""),
    "own split": (study(split=own(study(), ["s01", "s05"])), ""),
    "one held out, few windows": (study(people=5, each=2, split=own(study(people=5, each=2), ["s03"])), ""),
    "leave one subject out": (study(), "loso"),
    "folds": (study(people=9), "3"),
    "three classes": (study(classes=3, each=7), ""),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_canary_is_quiet_under_our_split_and_loud_under_one_that_leaks(name):
    found = canaries(*STRUCTURES[name])
    assert tuple(canary.name for canary in found) == NAMES
    for canary in found:
        assert canary.voice == "quiet"
        assert canary.used.bound >= ALARM
        assert canary.leaky.accuracy >= LOUD
        assert canary.leaky.bound < 1e-10


def test_a_false_alarm_is_rare():
    windows = study(people=5, recordings=2, each=4)
    heard = [voice for seed in range(8) for voice in voices(windows, seed=seed).values()]
    assert heard == ["quiet"] * 40


def test_a_split_by_window_is_heard():
    windows = study()
    found = voices(replace(windows, split=by_window(windows)))
    assert [found[name] for name in NAMES[:3]] == ["loud"] * 3
    assert found["scaling on all data"] == "quiet"


def test_one_person_in_both_parts_is_heard():
    windows = study()
    split = own(windows, ["s01", "s02", "s03"])
    split[np.flatnonzero(windows.recordings == "r02")] = "train"  # one of the two recordings of s01
    found = voices(replace(windows, split=split))
    assert found["same subject"] == "loud"
    assert found["same recording"] == "quiet"
    assert found["overlapping windows"] == "quiet"


def test_recordings_cut_in_two_share_no_raw_sample_where_a_window_between_is_left_out():
    windows = study(each=7)
    place = np.tile(np.arange(7), 16)
    split = np.where(place > 3, "test", "train")
    apart = replace(windows, split=split).select(place != 3)
    touching = replace(windows, split=split)
    assert voices(apart)["same recording"] == "loud"
    assert voices(apart)["overlapping windows"] == "quiet"
    assert voices(touching)["overlapping windows"] == "loud"


def test_recordings_do_where_people_are_unknown():
    windows = study(subjects=np.full(96, ""))
    found = {canary.name: canary for canary in canaries(windows)}
    assert found["same subject"].why_not == "the person is unknown for 96 of 96 windows"
    assert found["same recording"].voice == found["overlapping windows"].voice == "quiet"


@pytest.mark.parametrize(
    ("fields", "name", "why_not"),
    [
        (
            {"recordings": 1},
            "same recording",
            "every person has one recording, so this is the canary of the same subject",
        ),
        ({"each": 1}, "same recording", "every recording holds one window"),
        ({"step": 20}, "overlapping windows", "no windows overlap"),
        ({"people": 3}, "same subject", "3 people with two or more windows are too few: it takes 4"),
    ],
)
def test_what_does_not_apply_says_why(fields, name, why_not):
    canary = next(canary for canary in canaries(study(**fields)) if canary.name == name)
    assert (canary.voice, canary.why_not, canary.used, canary.leaky) == ("does not apply", why_not, None, None)


def test_unknown_recordings_leave_two_canaries_out():
    split = np.where(np.arange(96) < 60, "train", "test")
    windows = replace(study(), recordings=np.full(96, ""), split=split)
    found = {canary.name: canary.why_not for canary in canaries(windows) if canary.why_not}
    assert found == {
        "same recording": "the recording is unknown for 96 of 96 windows",
        "overlapping windows": "recordings are unknown, and with them which windows overlap",
    }


def test_a_seed_repeats_and_another_draws_anew():
    windows = study()
    first, again, other = canaries(windows, seed=1), canaries(windows, seed=1), canaries(windows, seed=2)
    assert first == again
    assert all(a.used.accuracy != b.used.accuracy for a, b in zip(first, other, strict=True))


def test_a_canary_that_no_leak_makes_heard_is_mute():
    canary = Canary(name="it", groups=9, used=Heard(accuracy=0.5, bound=1.0), leaky=Heard(accuracy=0.94, bound=0.0))
    assert canary.voice == "mute"
    assert replace(canary, used=Heard(accuracy=0.6, bound=0.0005)).voice == "loud"


def test_canaries_look_at_no_value():
    windows = study()
    assert canaries(windows) == canaries(replace(windows, values=windows.values * 0 + 7))


spans = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 8)), min_size=1, max_size=12)


@given(spans)
def test_noise_is_shared_where_raw_samples_are_and_nowhere_else(rows):
    windows = of_spans(rows)
    values, grouped = laid_noise(windows, np.random.default_rng(0)), chains(windows)
    raw = [{(r, t) for t in range(start, start + n)} for r, start, n in rows]
    linked = np.array([[bool(a & b) for b in raw] for a in raw])
    for i, j in itertools.combinations(range(len(rows)), 2):
        mine, theirs = values[i, : rows[i][2]], values[j, : rows[j][2]]
        assert len(np.intersect1d(mine, theirs)) == len(raw[i] & raw[j])
    reached = np.linalg.matrix_power(linked.astype(np.int64) + np.eye(len(rows), dtype=np.int64), len(rows)) > 0
    assert (reached == (grouped[:, None] == grouped)).all()


def of_spans(rows):
    start = np.array([start for _, start, _ in rows])
    n = len(rows)
    return replace(
        study(people=1, recordings=1, each=n),
        recordings=np.array([r for r, _, _ in rows]),
        start=start,
        stop=start + np.array([length for _, _, length in rows]),
    )


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_the_leaky_split_keeps_a_window_of_every_group_to_train(groups):
    groups = np.array(groups)
    train, held = every_other(groups, np.arange(len(groups))[::-1])
    assert sorted([*train, *held]) == list(range(len(groups)))
    counts = np.bincount(groups)
    assert (np.bincount(groups[held], minlength=len(counts)) == counts // 2).all()


def test_doubles_are_of_the_same_people_recordings_and_parts():
    windows = study(split=by_window(study()))
    twice = doubled(windows)
    assert len(twice) == 192
    for name in ("subjects", "recordings", "labels", "split", "start", "values"):
        assert (getattr(twice, name)[:96] == getattr(twice, name)[96:]).all()


def test_the_package_itself_learns_bins_on_training_windows_alone():
    rng = np.random.default_rng(0)
    busy, split = rng.integers(2, size=96), own(study(), ["s01", "s02"])
    values = halves(busy, rng)
    values[split == "test"] += np.float32(1.2)
    windows = replace(with_values(study(), values[:, 0]), labels=busy, split=split)
    run = distill.Run(**QUICK | {"teacher": (f"wrn10-1:{BINS}",)})
    plan = Plan(run, windows)
    (part,) = plan.splits
    ours = plan.view(BINS, part).imager
    peeking = Imager(stack=BINS, size=8).fit(windows)

    def accuracy(imager):
        images = imager(windows.values, units=("",)).reshape(96, -1)
        near = most_alike(images[part.train], images[part.evaluation])
        return np.mean(busy[part.train][near] == busy[part.evaluation])

    flat = ours(windows.values[part.evaluation], units=("",))
    assert np.ptp(flat, axis=0).max() == 0
    assert accuracy(ours) == pytest.approx(0.5, abs=0.25)
    assert accuracy(peeking) == 1


def test_a_whole_run_learns_who_people_are_from_a_leak_alone(tmp_path):
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(30), 4)
    planted = with_values(study(people=30, recordings=1, each=4), signatures(people, rng))
    planted = replace(planted, labels=rng.integers(2, size=30)[people])
    unknown = np.full(120, "")
    leaky = replace(planted, subjects=unknown, recordings=unknown, split=by_window(planted))
    who = dict(zip(planted.ids, people, strict=True))
    options = {"epochs": 5, "batch_size": 8, "seeds": (0,), "device": "cpu", "precision": "fp32"}

    def margins(data, **others):
        run = distill.Run(teacher=("wrn10-1:signal",), student="wrn10-1", **options, **others)
        said = pd.read_csv(distill.run(run, data, tmp_path / others.get("folds", "leaky")).folder / "predictions.csv")
        right = 2.0 * (said["student wrn10-1:signal seed 0"] == said["label"]) - 1
        said["fold"] = said.get("fold", "one")
        by_fold = right.groupby([said["fold"], said["window"].map(who)]).sum()
        return [fold.to_numpy() for _, fold in by_fold.groupby(level=0)]

    for fold in margins(planted, folds="2"):
        assert len(fold) == 15
        assert chance_bound(fold) >= ALARM
        assert chance_bound(np.full(15, 4)) < ALARM  # 15 people known would be heard
    (found,) = margins(leaky)
    assert chance_bound(found) < ALARM
    assert found.sum() >= 0.9 * np.abs(found).sum()
