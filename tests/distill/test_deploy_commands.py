"""The commands as somebody runs them who has no torch."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.distill.onnx_models import write_model

REFUSING = """
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "onnx", "onnxscript"}:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refusing())
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model and a recording of 100 samples."""
    folder = tmp_path_factory.mktemp("device")
    (folder / "sitecustomize.py").write_text(REFUSING)
    write_model(folder / "m.onnx")
    values = np.random.default_rng(0).normal(size=(100, 3)) * 0.05 + [0.0, 0.6, 0.8]
    frame = pd.DataFrame(values.astype(np.float32), columns=["acc-x", "acc-y", "acc-z"])
    frame["what"] = "walk"
    frame.to_csv(folder / "r.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def begin(place, repository):
    def _begin(*arguments, **options):
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(place), str(repository)]),
            "OMP_NUM_THREADS": "1",
        }
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-m", "distill", *arguments],
            **{"cwd": place, "env": environment, "stdin": pipe, "stdout": pipe, "stderr": pipe, "text": True} | options,
        )

    return _begin


def ended(process, text=None):
    out, err = process.communicate(text, timeout=60)
    return process.returncode, out, err


def test_the_hook_refuses_torch(place, begin):
    code, _, err = ended(begin("models"))
    assert code == 1
    assert "torch is not installed here" in err


def test_predict_and_stream_say_the_same_without_torch(place, begin):
    code, out, err = ended(begin("predict", "m.onnx", "r.csv", "--rate", "50", "--plot", "r.png"))
    assert (code, (place / "r.png").exists()) == (0, True), err
    batch = [row.split(",") for row in out.splitlines()[1:]]
    assert len(batch) == 11
    text = pd.read_csv(place / "r.csv")[["acc-x", "acc-y", "acc-z"]].to_csv(index=False)
    code, out, err = ended(begin("stream", "m.onnx"), text)
    assert code == 0, err
    stream = [row.split(",") for row in out.splitlines()[1:]]
    assert [row[:4] for row in stream] == [row[2:6] for row in batch]
    np.testing.assert_allclose([float(r[4]) for r in stream], [float(r[6]) for r in batch], atol=1e-6)


def test_compare_needs_no_torch(begin):
    code, out, err = ended(begin("compare", "m.onnx", "m.onnx", "--on", "r.csv", "--rate", "50", "--label", "what"))
    assert code == 0, err
    assert out.count(" 100.00  ") >= 2  # in agreement with itself


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stream_that_is_stopped_says_how_far_it_came(begin, number, code):
    process = begin("stream", "m.onnx", "--hop", "16")
    process.stdin.write("".join(f"0.{i},0.6{i},0.8{i}\n" for i in range(16)))
    process.stdin.flush()
    process.stdout.readline()
    row = process.stdout.readline()  # comes while stdin is still open
    assert row.startswith("0,16,0,")
    process.send_signal(number)
    left, _, err = ended(process)
    label = row.split(",")[3]
    assert left == code
    assert err.splitlines() == [
        f"16 samples (0.3 s), 0 malformed lines, 1 windows: {label} 1",
        f"distill: stopped by {number.name}",
    ]


def test_a_closed_pipe_ends_quietly(begin):
    process = begin("stream", "m.onnx", "--hop", "1")
    process.stdout.close()
    process.stdout = None
    _, _, err = ended(process, "0.1,0.6,0.8\n" * 40)
    assert err == ""
    assert process.returncode == 1


def test_without_onnxruntime_one_sentence(place, begin, repository):
    blocked = place / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(REFUSING.replace('"onnx"', '"onnxruntime"'))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(blocked), str(repository)])}
    code, out, err = ended(begin("predict", "m.onnx", "r.csv", env=environment))
    assert (code, out) == (2, "")
    assert err == (
        "distill: models in ONNX files run in onnxruntime, which is not installed: pip install 'tsimage[export]'\n"
    )
