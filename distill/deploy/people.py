"""Whom a model was trained or chosen on: remembered in its file by short hashes of names, and recognised where windows are labelled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tsimage.catalogue import ENTRIES

OWN_SPLIT = "the data set's own split"
"""What `distill.splits` says of parts that came with the data."""
_HEX = 12  # 48 bits: two of a thousand people share them once in 500 million sets


def name_hash(name: str) -> str:
    """Return the hash by which a person is remembered; capitals and spaces around the name do not matter.

    Whoever guesses a name can test the guess: this keeps names from being read, not from being confirmed.

    >>> name_hash("Ann") == name_hash("ann "), len(name_hash("ann"))
    (True, 12)
    """
    return hashlib.sha256(name.strip().casefold().encode()).hexdigest()[:_HEX]


def hashes_of(subjects: Iterable[str]) -> list[str] | None:
    """Return the sorted hashes of people; None where one of them is not known.

    >>> hashes_of(["ann", "bob", "ann"]) == sorted([name_hash("ann"), name_hash("bob")]), hashes_of(["ann", ""])
    (True, None)
    """
    names = set(subjects)
    return None if "" in names else sorted({name_hash(name) for name in names})


def is_familiar(
    about: Mapping[str, Any], subjects: np.ndarray, name: str = "", split: np.ndarray | None = None
) -> np.ndarray | None:
    """Tell which windows are of people that a model was trained or chosen on.

    Parameters
    ----------
    about : mapping
        Of its contract.
    subjects : ndarray of str, shape (window,)
        Empty where unknown.
    name : str
        Of the data set of the windows.
    split : ndarray of {"train", "test"} or None, shape (window,)
        Of that data set, where it has its own. It stands in for people who are not known: a model that was trained on the
        training part of the data set of this name knows that part.

    Returns
    -------
    ndarray of bool, shape (window,), or None
        None where that is not known, as between two sets of the catalogue.

    Examples
    --------
    >>> about = {"data": {"name": "mine", "people": hashes_of(["ann"])}}
    >>> is_familiar(about, np.array(["ann", "bob"])).tolist(), is_familiar({}, np.array(["ann"]))
    ([True, False], None)
    """
    data = about.get("data")
    data = data if isinstance(data, Mapping) else {}
    if name in ENTRIES and data.get("name") in ENTRIES and name != data["name"]:
        return None  # published sets number their people, each from its own beginning
    people = data.get("people")
    if isinstance(people, list) and not (subjects == "").any():
        names, place = np.unique(subjects, return_inverse=True)
        found: np.ndarray = np.array([name_hash(one) in people for one in names.tolist()], dtype=bool)[place]
        return found
    if split is not None and name and data.get("name") == name and data.get("split") == OWN_SPLIT:
        trained: np.ndarray = split == "train"
        return trained
    return None
