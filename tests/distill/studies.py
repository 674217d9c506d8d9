"""Made-up studies: people with recordings of overlapping windows, whose classes are slow and fast waves."""

import numpy as np

from tsimage.windows import Windows


def study(people=8, recordings=2, each=6, length=20, step=10, classes=2, noise=0.3, seed=0, **fields):
    """Windows of known people, by recording; every window repeats what `step` leaves of the one before."""
    n = people * recordings * each
    who = np.repeat(np.arange(people), recordings * each)
    which = np.repeat(np.arange(people * recordings), each)
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    start = np.tile(np.arange(each) * step, people * recordings)
    phase = rng.uniform(0, 2 * np.pi, size=(n, 1, 1))
    wave = np.sin(np.arange(length) * (0.4 + 0.7 * labels)[:, None, None] + phase)
    given = {
        "values": (wave + noise * rng.normal(size=(n, 2, length))).astype(np.float32),
        "channels": ("x", "y"),
        "units": ("g", "g"),
        "rate_hz": 10.0,
        "labels": labels,
        "class_names": ("slow", "fast", "faster", "fastest")[:classes],
        "subjects": np.array([f"s{i:02}" for i in who]),
        "recordings": np.array([f"r{i:02}" for i in which]),
        "start": start,
        "stop": start + length,
        "ids": np.array([f"w{i}" for i in range(n)]),
        "name": "study",
    }
    return Windows(**(given | fields))


def by_window(windows, seed=0, share=0.3):
    """Parts drawn window by window: the split that leaks."""
    return np.where(np.random.default_rng(seed).random(len(windows)) < share, "test", "train")
