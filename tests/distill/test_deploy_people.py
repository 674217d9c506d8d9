import hashlib

import numpy as np
import pytest

from distill.deploy.people import OWN_SPLIT, hashes_of, is_familiar

ANN = hashlib.sha256(b"ann").hexdigest()[:12]
WHO = np.array(["ann", "bob", "ANN "])
PARTS = np.array(["train", "test", "test"])


def test_people_are_remembered_by_hashes_of_their_names():
    assert hashes_of([" Ann", "ann"]) == [ANN]
    assert hashes_of([]) == []
    assert hashes_of(["ann", ""]) is None


def test_published_sets_number_their_people_each_for_itself():
    about = {"data": {"name": "hapt", "people": hashes_of(["1", "2"])}}
    subjects = np.array(["1", "3"])
    assert is_familiar(about, subjects, "hapt").tolist() == [True, False]
    assert is_familiar(about, subjects, "my-recordings").tolist() == [True, False]
    assert is_familiar(about, subjects, "mhealth") is None


@pytest.mark.parametrize(
    ("data", "subjects", "expected"),
    [
        ({"people": [ANN]}, WHO, [True, False, True]),
        ({"people": []}, WHO, [False, False, False]),
        ({"people": [ANN], "name": "mine", "split": OWN_SPLIT}, WHO, [True, False, True]),
        ({"people": [ANN], "name": "mine", "split": OWN_SPLIT}, np.array(["ann", "", ""]), [True, False, False]),
        ({"people": None, "name": "mine", "split": OWN_SPLIT}, WHO, [True, False, False]),
        ({"people": None, "name": "mine", "split": "by subject"}, WHO, None),
        ({"people": None, "name": "other", "split": OWN_SPLIT}, WHO, None),
        ({"people": ANN}, WHO, None),
        ("made", WHO, None),
        (None, WHO, None),
    ],
)
def test_windows_are_recognised_by_people_or_else_by_the_part_of_the_same_data(data, subjects, expected):
    found = is_familiar({"data": data}, subjects, "mine", PARTS)
    assert (found if found is None else found.tolist()) == expected
    if not isinstance(data, dict) or not data.get("people"):
        assert is_familiar({"data": data}, np.array(["", "", ""]), "mine") is None
