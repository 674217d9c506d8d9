from dataclasses import replace

import numpy as np
import pytest

from distill.certificate import certificate, ids_hash
from distill.config import Run
from distill.splits import Split, cross_validation, split_windows
from tsimage.errors import UserError
from tsimage.windows import Windows


def make(n_subjects=6, per_subject=8, n_classes=2, length=10, subjects=True, step=10):
    n = n_subjects * per_subject
    people = np.repeat([f"s{i}" for i in range(n_subjects)], per_subject)
    start = np.tile(np.arange(per_subject) * step, n_subjects)
    rng = np.random.default_rng(0)
    return Windows(
        values=rng.normal(size=(n, 2, length)).astype(np.float32),
        channels=("x", "y"),
        units=("g", "g"),
        rate_hz=10.0,
        labels=np.arange(n) % n_classes,
        class_names=tuple(f"class{c}" for c in range(n_classes)),
        subjects=people if subjects else np.full(n, ""),
        recordings=np.char.add("r", people),
        start=start,
        stop=start + length,
        ids=np.array([f"{p}:{s}" for p, s in zip(people, start, strict=True)]),
        name="toy",
    )


def test_own_split_is_kept():
    windows = make()
    own = np.where(np.arange(len(windows)) < 24, "train", "test")
    split = split_windows(replace(windows, split=own))
    assert (split.train == np.arange(24)).all()
    assert (split.evaluation == np.arange(24, 48)).all()
    assert split.basis == "the data set's own split"


@pytest.mark.parametrize(("subjects", "what"), [(True, "subject"), (False, "recording")])
def test_held_out_groups_are_whole_and_disjoint(subjects, what):
    windows = make(subjects=subjects)
    split = split_windows(windows)
    groups = windows.subjects if subjects else windows.recordings
    assert not set(groups[split.train]) & set(groups[split.evaluation])
    assert sorted([*split.train, *split.evaluation]) == list(range(len(windows)))
    assert split.basis.startswith(f"by {what}: ")


def test_validation_lies_inside_training_and_leaves_the_test_part_alone():
    windows = make(n_subjects=10)
    test = split_windows(windows)
    validation = split_windows(windows, "validation")
    inside = {*validation.train, *validation.evaluation}
    assert inside == set(test.train)
    assert not set(windows.subjects[validation.train]) & set(windows.subjects[validation.evaluation])
    assert not inside & set(test.evaluation)


def test_every_split_is_the_same_each_time():
    a, b = split_windows(make()), split_windows(make())
    assert (a.train == b.train).all()
    assert (a.evaluation == b.evaluation).all()


def test_class_absent_from_training_is_refused():
    windows = make()
    labels = np.where(windows.subjects == "s5", 1, 0)
    own = np.where(windows.subjects == "s5", "test", "train")
    with pytest.raises(UserError) as error:
        split_windows(replace(windows, labels=labels, split=own))
    assert str(error.value) == (
        "toy: class 'class1' is absent from the training part (the data set's own split): leave it out with the option "
        "classes, or add recordings of it from other people"
    )


def test_one_recording_of_one_person_cannot_be_split():
    with pytest.raises(UserError, match="one recording of one person cannot be split"):
        split_windows(make(n_subjects=1))


def test_shared_raw_samples_are_found_and_named():
    windows = make(step=5)  # half overlap
    own = np.where(np.arange(len(windows)) % 4 > 1, "test", "train")
    windows = replace(windows, split=own)
    with pytest.raises(UserError) as error:
        certificate(windows, split_windows(windows))
    assert str(error.value) == (
        "toy: windows 's0:5' (train) and 's0:10' (test) hold the same raw samples of recording 'rs0': split by subject or recording, not by window"
    )


def test_certificate_says_who_is_where():
    windows = make()
    split = split_windows(windows)
    made = certificate(windows, split)
    assert made["raw_samples_in_both"] == 0
    assert made["subjects_in_both"] == []
    train = made["parts"]["train"]
    assert train["windows"] == len(split.train) == sum(train["windows_by_class"].values())
    assert set(train["subjects"]) | set(made["parts"]["test"]["subjects"]) == set(windows.subjects)
    assert train["ids_sha256"] == ids_hash(windows.ids[split.train])
    assert train["ids_sha256"] != made["parts"]["test"]["ids_sha256"]


def test_unknown_subjects_are_called_unknown():
    windows = make(subjects=False)
    assert certificate(windows, split_windows(windows))["subjects_in_both"] == "unknown"


@pytest.mark.parametrize("cut", [split_windows, lambda windows: cross_validation(windows, "2")])
def test_people_who_are_known_in_part_are_not_split_by_recording(says, cut):
    windows = make()
    some = replace(windows, subjects=np.where(np.arange(len(windows)) % 20 == 7, "", windows.subjects))
    with says(
        "toy: the subject of 3 of 48 windows is unknown, first of 's0:70', and a split by recording would put the people who are "
        "known into both parts: name all subjects, or leave these windows out"
    ):
        cut(some)


def test_recordings_of_two_people_need_two_names(says):
    windows = make(n_subjects=2)
    same = replace(windows, recordings=np.full(len(windows), "walk"))
    split = Split(train=np.arange(8), evaluation=np.arange(8, 16), part="test", basis="by hand")
    with says(
        "toy: windows 's0:0' (train) and 's1:0' (test) hold the same raw samples of recording 'walk': as they are of two people, "
        "give the recordings of each names of their own"
    ):
        certificate(same, split)


def test_official_hapt_split_is_by_subject(hapt):
    split = split_windows(hapt)
    made = certificate(hapt, split)
    assert (len(split.train), len(split.evaluation)) == (7767, 3162)
    assert made["subjects_in_both"] == []
    assert len(made["parts"]["train"]["subjects"]) == 21
    assert len(made["parts"]["test"]["subjects"]) == 9
    validation = certificate(hapt, split_windows(hapt, "validation"))
    assert set(validation["parts"]["validation"]["subjects"]) < set(made["parts"]["train"]["subjects"])
    assert validation["subjects_in_both"] == []


def test_windows_of_unknown_origin_are_not_split_by_window():
    windows = make(subjects=False)
    windows = replace(windows, recordings=np.full(len(windows), ""))
    with pytest.raises(UserError) as error:
        split_windows(windows)
    assert str(error.value) == (
        "toy: neither subjects nor recordings of the windows are known, and a split by window would leak: "
        "store subjects, recordings or a split beside them"
    )
    own = replace(windows, split=np.where(np.arange(len(windows)) < 24, "train", "test"))
    assert certificate(own, split_windows(own))["raw_samples_in_both"] == "unknown"


def test_the_held_out_fold_leaves_every_class_to_train():
    windows = make(n_subjects=5, per_subject=4)
    rare = np.where(windows.subjects == "s0", 2, windows.labels)
    rare[windows.subjects == "s1"] = [2, 0, 1, 0]
    windows = replace(windows, labels=rare, class_names=("class0", "class1", "class2"))
    split = split_windows(windows)
    assert set(windows.labels[split.train]) == {0, 1, 2}
    assert len(split.evaluation)


def test_few_windows_of_each_class_still_split():
    windows = make(n_subjects=6, per_subject=1, n_classes=2)
    split = split_windows(windows)
    assert set(windows.labels[split.train]) == {0, 1}


@pytest.mark.parametrize(("folds", "n"), [("loso", 6), ("3", 3), ("6", 6)])
def test_folds_evaluate_every_window_once_by_others(folds, n):
    windows = make()
    splits = cross_validation(windows, folds)
    assert len(splits) == n
    assert sorted(np.concatenate([split.evaluation for split in splits])) == list(range(48))
    for split in splits:
        assert sorted([*split.train, *split.evaluation]) == list(range(48))
        assert not set(windows.subjects[split.train]) & set(windows.subjects[split.evaluation])
        assert certificate(windows, split)["subjects_in_both"] == []


def test_each_fold_of_loso_is_named_by_its_subject():
    windows = make()
    splits = cross_validation(windows, "loso")
    assert [split.fold for split in splits] == [f"s{i}" for i in range(6)]
    assert all(set(windows.subjects[split.evaluation]) == {split.fold} for split in splits)
    assert splits[0].basis == "leave one subject out, 6 subjects"
    assert [split.fold for split in cross_validation(windows, "2")] == ["1 of 2", "2 of 2"]


def test_folds_for_choosing_leave_the_test_part_alone():
    windows = make(n_subjects=10)
    test = split_windows(windows)
    splits = cross_validation(windows, "loso", "validation")
    assert sorted(np.concatenate([split.evaluation for split in splits])) == sorted(test.train)
    assert not any(np.isin([*split.train, *split.evaluation], test.evaluation).any() for split in splits)
    own = np.where(np.arange(80) < 48, "train", "test")
    splits = cross_validation(replace(windows, split=own), "loso", "validation")
    assert sorted(np.concatenate([split.evaluation for split in splits])) == list(range(48))
    assert splits[0].basis.endswith("the test part (the data set's own split) is not used")


def test_recordings_stand_in_for_unknown_subjects_in_folds_but_not_in_loso(says):
    windows = make(subjects=False)
    assert len(cross_validation(windows, "3")) == 3
    with says(
        "toy: to leave one subject out, two or more subjects must be known: store subjects beside the windows (or name the "
        "subject column of a table)"
    ):
        cross_validation(windows, "loso")


def test_errors_of_folds(says):
    windows = make()
    with says("toy: folds 7 are not allowed: from 2 to 6, the number of subjects, or loso"):
        cross_validation(windows, "7")
    alone = replace(windows, labels=(windows.subjects == "s3").astype(np.int64))
    with says(
        "toy: class 'class1' is absent from the training part (leave one subject out, 6 subjects; without s3): leave it out "
        "with the option classes, or add recordings of it from other people"
    ):
        cross_validation(alone, "loso")
    for folds in ("1", "0", "-2", "2.5", "lso"):
        with says(f"folds '{folds}' are not allowed: give loso (leave one subject out) or a number from 2 on"):
            Run(folds=folds)
