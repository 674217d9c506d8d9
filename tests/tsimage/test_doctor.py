import importlib.metadata
import platform
import time

import pytest

import tsimage
from tsimage import doctor
from tsimage.doctor import Finding, diagnose, lines

FINE = 'print(\'{"cuda": ["A100", "T4"], "mps": false, "pair": ""}\')'


@pytest.fixture
def findings(monkeypatch, tmp_path):
    """Findings by what they are about, with a torch that is played; `diagnose` is called with the text of its process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TSIMAGE_DATA", raising=False)

    def _findings(code=FINE):
        monkeypatch.setattr(doctor, "_TORCH", code)
        found = diagnose()
        assert len({f.what for f in found}) == len(found)
        return {f.what: f for f in found}

    return _findings


def test_versions_are_those_of_the_packages(findings):
    found = findings()
    assert found["python"].state.startswith(platform.python_version())
    assert found["tsimage"].state == tsimage.__version__
    for name in ("numpy", "numba", "pyts", "torch", "torchvision"):
        assert found[name] == Finding(what=name, state=importlib.metadata.version(name))


def test_what_is_absent_gets_a_command(findings, monkeypatch):
    version = importlib.metadata.version

    def without(name):
        if name in ("pyts", "pyarrow"):
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    found = findings()
    assert found["pyts"] == Finding(what="pyts", state="absent", advice="pip install pyts")
    assert found["extra parquet"] == Finding(
        what="extra parquet", state="without pyarrow", advice="pip install 'tsimage[parquet]'"
    )
    assert "extra test" not in found


def test_devices_are_those_of_torch(findings):
    found = findings()
    assert (found["cuda:0"].state, found["cuda:1"].state, found["mps"].state) == ("A100", "T4", "not there")
    assert found["torch and torchvision"] == Finding(what="torch and torchvision", state="fit")
    assert found["cpu"].state.endswith(" cores may be used")
    assert int(found["cpu"].state.split()[0]) >= 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ImportError('no libtorch')", "ImportError: no libtorch"),
        ("import os; os._exit(1)", "it ends without a word"),
        ("print('{')", "it ends without a word"),
    ],
)
def test_a_torch_that_does_not_work_is_told(code, reason, findings):
    found = findings(code)
    assert found["torch works"] == Finding(
        what="torch works", state=f"no: {reason}", advice="pip install --upgrade torch torchvision"
    )
    assert "mps" not in found


def test_a_torch_that_hangs_is_left(findings, monkeypatch):
    monkeypatch.setattr(doctor, "PATIENCE_S", 0.2)
    start = time.monotonic()
    found = findings("import time; time.sleep(60)")
    assert time.monotonic() - start < 20
    assert found["torch works"].state == "no: importing it takes more than 0.2 s"


def test_a_pair_that_does_not_fit_is_told(findings):
    found = findings('print(\'{"cuda": [], "mps": true, "pair": "operator nms does not exist"}\')')
    assert found["torch and torchvision"].state == "do not fit: operator nms does not exist"
    assert (found["cuda"].state, found["mps"].state) == ("not there", "there")


def test_disks_and_data_are_told(findings, monkeypatch, tmp_path, hapt_folder):
    found = findings()
    assert found["disk of the cache"].state.endswith(f" GB free in '{tmp_path / 'cache' / 'tsimage'}'")
    assert found["TSIMAGE_DATA"].state == "not set"
    assert found["data sets here"] == Finding(
        what="data sets here",
        state="basic-motions",
        advice=f"{len(doctor.ENTRIES) - 1} more: tsimage datasets lists them, tsimage fetch NAME gets one",
    )
    monkeypatch.setenv("TSIMAGE_DATA", str(tmp_path / "none"))
    assert findings()["TSIMAGE_DATA"].state == f"'{tmp_path / 'none'}' is no folder"
    hapt_folder.rename(tmp_path / "hapt")
    monkeypatch.setenv("TSIMAGE_DATA", str(tmp_path))
    assert findings()["data sets here"].state == "basic-motions, hapt"


def test_little_disk_gets_advice(findings, monkeypatch):
    monkeypatch.setattr(doctor, "LITTLE_DISK", 10**18)
    assert findings()["disk here"].advice == "make room, or work on another disk"


def test_the_cache_of_compiled_loops_must_be_writable(findings, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "loops"))
    assert findings()["compiled loops"] == Finding(what="compiled loops", state=f"kept in '{tmp_path / 'loops'}'")
    monkeypatch.setattr(doctor, "_writable", lambda _: False)
    assert findings()["compiled loops"] == Finding(
        what="compiled loops",
        state=f"cannot be kept in '{tmp_path / 'loops'}', so that every start compiles them anew",
        advice="set NUMBA_CACHE_DIR to a folder that may be written",
    )


def test_the_real_torch_is_asked():
    pytest.importorskip("torchvision")
    said = lines()
    assert "torch and torchvision: fit" in said
    assert all("\n" not in line for line in said)
