"""Finished runs whose models were not trained but made up: everything else in their directories is as `distill.run` writes it."""

import hashlib
import json
from dataclasses import replace
from unittest import mock

import numpy as np

from distill import results
from distill.config import Run
from distill.layout import sealed, write_result
from distill.plan import Plan
from distill.runner import open_folder
from tests.distill.tiny_runs import QUICK
from tsimage.windows import Windows


def made_windows(people=8, of_each=9, name="made", labels=None):
    n = people * of_each
    rng = np.random.default_rng(5)
    who = np.repeat([f"p{k}" for k in range(people)], of_each)
    return Windows(
        values=rng.normal(size=(n, 2, 20)).astype(np.float32),
        channels=("acc-x", "gyro-x"),
        units=("g", "rad/s"),
        rate_hz=50.0,
        labels=np.arange(n) % 3 if labels is None else labels,
        class_names=("lie", "sit", "walk"),
        subjects=who,
        recordings=who,
        start=np.tile(np.arange(of_each) * 20, people),
        stop=np.tile(np.arange(of_each) * 20 + 20, people),
        ids=np.array([f"w{i}" for i in range(n)]),
        split=np.where(np.arange(n) < n // 4, "train", "test"),
        name=name,
    )


def right(windows, index, seed, share):
    """Logits that see the right class in about this share of the windows, and else the next one."""
    rng = np.random.default_rng(seed)
    labels = windows.labels[index]
    seen = np.where(rng.random(len(index)) < share, labels, (labels + 1) % 3)
    return (np.eye(3)[seen] * 3).astype(np.float32)


def make_run(folder, windows=None, skill=None, **options):
    """Write a finished run; `skill` gives the share of right windows by role, or a function (training, seed) of it."""
    windows = made_windows() if windows is None else windows
    share = {"teacher": 0.9, "scratch": 0.7, "control": 0.75, "student": 0.8} | (skill or {})
    run = replace(Run(**QUICK | {"seeds": (0, 1, 2)} | options), data=windows.name)
    plan = Plan(run, windows, folder)

    def logits(part, training, samples, held_out):
        key = part.key(training)
        index = np.flatnonzero(np.isin(windows.ids, held_out.ids))
        assert windows.ids[index].tolist() == held_out.ids.tolist()
        made = right(windows, index, int(key[:8], 16), share[training.role])
        return made, {"parameters": 100, "weights_sha256": hashlib.sha256(key.encode()).hexdigest()}

    folder.mkdir(parents=True)
    open_folder(plan)
    with mock.patch.object(results, "logits_of", logits), mock.patch.object(results, "bytes_of", return_value=400):
        write_result(folder, results.evaluated(plan) | {"candidates": None})
    return folder


def rewrite(path, content):
    """Write a `run.json` as another run would have."""
    path.write_text(json.dumps(sealed({name: value for name, value in content.items() if name != "sha256"})))
