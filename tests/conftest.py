"""What the tests share: real data where there is some, small synthetic data, and the check of an error's exact words."""

import os
from contextlib import contextmanager
from pathlib import Path

# Several processes test at once, and small networks: more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

import tests.oracle  # noqa: F401  before any test imports pyts
import tsimage
from tsimage.cutting import Recording, Segment
from tsimage.windows import Windows

settings.register_profile("tests", deadline=None, derandomize=True, max_examples=40, database=None)
settings.load_profile("tests")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keep the user's cache of data sets out of the tests, and the tests out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir():
    folder = os.environ.get("TSIMAGE_DATA")
    if folder is None or not Path(folder).is_dir():
        pytest.skip("needs real data: set TSIMAGE_DATA to the folder that holds it")
    return Path(folder)


@pytest.fixture(scope="session")
def hapt(data_dir):
    assert (data_dir / "hapt").is_dir()
    return tsimage.load("hapt")


@pytest.fixture(scope="session")
def basic_motions():
    return tsimage.load("basic-motions")


@pytest.fixture(scope="session")
def says():
    """A context manager that wants a UserError of exactly these words, in one line."""

    @contextmanager
    def _says(text):
        with pytest.raises(tsimage.UserError) as caught:
            yield
        assert str(caught.value) == text
        assert "\n" not in text

    return _says


@pytest.fixture(scope="session")
def make_recording():
    """Build a recording whose first channel counts its samples from 0; segments are (start, stop, label)."""

    def _make(n, *segments, id="r1", subject="ann", rate_hz=2.0, channels=("x",), units=("g",)):
        values = np.arange(n, dtype=np.float32) + 1000 * np.arange(len(channels), dtype=np.float32)[:, None]
        return Recording(
            id=id,
            subject=subject,
            values=values,
            channels=channels,
            units=units,
            rate_hz=rate_hz,
            segments=tuple(Segment(start=a, stop=b, label=label) for a, b, label in segments),
        )

    return _make


@pytest.fixture(scope="session")
def make_windows():
    """Build n windows of random values, 2 channels in g and rad/s, 3 classes in turn; keywords replace fields."""

    def _make(n=6, length=20, **fields):
        rng = np.random.default_rng(7)
        defaults = {
            "values": rng.normal(size=(n, 2, length)).astype(np.float32),
            "channels": ("acc-x", "gyro-x"),
            "units": ("g", "rad/s"),
            "rate_hz": 50.0,
            "labels": np.arange(n) % 3,
            "class_names": ("lie", "sit", "walk"),
            "subjects": np.array([f"s{i // 3}" for i in range(n)]),
            "recordings": np.array([f"r{i}" for i in range(n)]),
            "start": np.zeros(n, dtype=np.int64),
            "stop": np.full(n, length, dtype=np.int64),
            "ids": np.array([f"w{i}" for i in range(n)]),
            "split": np.array(["train", "test"] * n)[:n],
            "name": "made",
        }
        return Windows(**(defaults | fields))

    return _make


@pytest.fixture
def hapt_folder(tmp_path):
    """A folder in the layout of HAPT: 2 people, 2 recordings of 20 samples, 2 activities."""
    root = tmp_path / "HAPT"
    for name in ("Raw-Data", "Processed-Data"):
        (root / name).mkdir(parents=True)
    for experiment, user in ((1, 1), (2, 2)):
        for sensor, offset in (("acc", 0), ("gyro", 100)):
            rows = [[offset + t, offset + t + 0.25, -(offset + t)] for t in range(20)]
            text = "".join(" ".join(f"{v:.8f}" for v in row) + "\n" for row in rows)
            (root / "Raw-Data" / f"{sensor}_exp{experiment:02d}_user{user:02d}.txt").write_text(text)
    (root / "Raw-Data" / "labels.txt").write_text("1 1 2 1 8\n1 1 1 11 20\n2 2 1 3 20\n")
    (root / "activity_labels.txt").write_text("1 WALKING\n2 SITTING\n")
    (root / "Processed-Data" / "subject_id_train.txt").write_text("1\n1\n")
    (root / "Processed-Data" / "subject_id_test.txt").write_text("2\n2\n")
    return root
