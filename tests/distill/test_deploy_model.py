import json
import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from scipy.special import logsumexp, softmax

from distill.deploy import network
from distill.deploy.contract import INPUT, KEY, LOGITS, PROBABILITIES
from distill.deploy.model import open_model
from tests.distill.onnx_models import Weights, contract, graph_of, write_graph, write_model
from tsimage import UserError


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "m.onnx")


def some_windows(n=7, channels=3, length=16, seed=0):
    return np.random.default_rng(seed).normal(size=(n, channels, length)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 7, 300])
def test_a_model_answers_as_the_same_network_in_numpy(path, n):
    model, windows = open_model(path), some_windows(n)
    expected = Weights().logits(windows)
    found = model.predict(windows)
    assert found.logits.dtype == np.float32
    assert found.logits.shape == (n, 3)
    np.testing.assert_allclose(found.logits, expected, atol=2e-5)
    np.testing.assert_array_equal(model.logits(windows), found.logits)
    np.testing.assert_allclose(found.probabilities, softmax(expected, axis=1), atol=1e-5)
    np.testing.assert_array_equal(found.classes, expected.argmax(axis=1))
    np.testing.assert_allclose(found.probability, softmax(expected, axis=1).max(axis=1), atol=1e-5)
    np.testing.assert_allclose(found.energy, logsumexp(expected, axis=1), atol=1e-5)


def test_what_is_below_the_energy_of_the_contract_is_unknown(tmp_path):
    windows = some_windows(40)
    energy = logsumexp(Weights().logits(windows), axis=1)
    limit = float(np.median(energy))
    found = open_model(write_model(tmp_path / "m.onnx", contract(energy=limit))).predict(windows)
    assert found.unknown.sum() == 20
    np.testing.assert_array_equal(found.unknown, energy < limit)


def test_a_model_knows_its_contract_and_size(path):
    model = open_model(str(path))
    assert model.contract == contract()
    assert model.n_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("shape", "said"),
    [((7, 16), "(7, 16)"), ((7, 2, 16), "(7, 2, 16)"), ((7, 3, 17), "(7, 3, 17)"), ((7, 16, 3), "(7, 16, 3)")],
)
def test_windows_of_another_shape_are_refused(path, says, shape, said):
    with says(
        f"windows of shape {said} do not fit '{path}': it wants (window, 3, 16), the channels acc-x, acc-y, acc-z at 50 Hz"
    ):
        open_model(path).logits(np.zeros(shape))


@pytest.mark.parametrize(("value", "said"), [(np.nan, "nan"), (np.inf, "inf"), (1e39, "1e+39")])
def test_values_that_are_not_finite_in_float32_are_refused(path, says, value, said):
    windows = some_windows(300).astype(np.float64)
    windows[280, 1, 5] = value
    with says(
        f"window 280, channel 'acc-y', sample 5 is {said}: a model sees finite values only, leave this window out"
    ):
        open_model(path).predict(windows)


def test_windows_of_words_are_refused(path, says):
    with says("windows of type <U1 are no numbers: give floats"):
        open_model(path).predict(np.full((1, 3, 16), "a"))


def test_files_that_are_no_models(tmp_path, says, path):
    missing, text, empty, part = (tmp_path / name for name in ("no.onnx", "text.onnx", "empty.onnx", "part.onnx"))
    text.write_text("acc-x,acc-y\n1,2\n")
    empty.touch()
    part.write_bytes(path.read_bytes()[:-40])
    with says(f"'{missing}' does not exist: give an .onnx file that distill export wrote"):
        open_model(missing)
    with says(f"'{tmp_path}' is a folder: give an .onnx file that distill export wrote"):
        open_model(tmp_path)
    for bad, why in (
        (text, "Failed to load model because protobuf parsing failed"),
        (empty, "No graph was found in the protobuf"),
        (part, "Failed to load model because protobuf parsing failed"),
    ):
        with says(f"'{bad}' is no ONNX file, or a damaged one ({why}): get or export it anew with distill export"):
            open_model(bad)


@pytest.mark.parametrize("name", [b"kernel", b"pooled", b"made", b"logits", b"windows", b"Conv", b"sha256"])
def test_a_name_that_is_no_text_is_one_sentence(path, tmp_path, capfd, name):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(path.read_bytes().replace(name, b"\xe5" + name[1:]))
    with pytest.raises(UserError, match=r"or a damaged one|cannot be run|not as distill export wrote"):
        open_model(bad)
    assert capfd.readouterr() == ("", "")


def test_a_pipe_is_no_model(tmp_path, says):
    os.mkfifo(tmp_path / "pipe")
    with says(f"'{tmp_path / 'pipe'}' is a pipe or a device: give an .onnx file that distill export wrote"):
        open_model(tmp_path / "pipe")


def test_a_huge_file_is_not_read(path, says, monkeypatch):
    monkeypatch.setattr(network, "MAX_BYTES", 500)
    size = path.stat().st_size
    with says(
        f"'{path}' has {size:,} bytes: models of at most 500 are read, and a student is far smaller; check that this is the "
        "file you mean"
    ):
        open_model(path)


@given(st.data())
def test_a_file_cut_or_changed_anywhere_is_refused(path, tmp_path_factory, data):
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    bad = tmp_path_factory.getbasetemp() / "bad.onnx"
    bad.write_bytes(content)
    with pytest.raises(UserError):
        open_model(bad)


def test_weights_in_another_file_are_refused_wherever_one_stands(tmp_path, says, monkeypatch):
    made = write_model(tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    monkeypatch.chdir(tmp_path)
    assert (tmp_path / "weights.bin").exists()
    with says(f"'{made}' keeps its weights in another file: export it into a single one, as distill export does"):
        open_model(made)


def test_without_onnxruntime_one_sentence_says_what_to_install(path, says, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with says("models in ONNX files run in onnxruntime, which is not installed: pip install 'tsimage[export]'"):
        open_model(path)


def test_a_model_of_somebody_else(tmp_path, says):
    made = write_graph(tmp_path / "m.onnx", graph_of(Weights(), ("n", 3, 16), 3))
    with says(
        f"'{made}' is an ONNX file that does not say what it wants to see: use one that distill export wrote (distill compare "
        "takes others, with --classes)"
    ):
        open_model(made)


def changed(**fields):
    return json.dumps(json.loads(contract().to_json()) | fields)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (changed(channels=["a", "a", "b"]), "its channels repeat"),
        (changed(classes=[1, 2, 3]), "its classes are no words"),
        (changed(classes=[]), "it has no classes"),
        (changed(units=["g"]), "3 channels, 1 units and ranges of 3 and 3 channels"),
        (changed(length=0), "windows of 0 samples"),
        (changed(length=True), "windows of True samples"),
        (changed(length=10**12), "windows of 1000000000000 samples"),
        (changed(rate_hz="50"), "a rate of 50 Hz"),
        (changed(rate_hz=-1), "a rate of -1 Hz"),
        (changed(energy=None), "an energy of None"),
        (changed(low=[0, 9, 0]), "a range from 9 to 4.0"),
        (changed(length=17), "its input has 3 channels of 16 samples, where it says 3 of 17"),
        (changed(classes=["a", "b"]), "its output 'logits' has shape (n, 3) for 2 classes"),
    ],
)
def test_a_contract_that_cannot_be(tmp_path, says, text, why):
    made = write_model(tmp_path / "m.onnx", says=text)
    with says(f"'{made}' contradicts itself ({why}): it is damaged, export it anew with distill export"):
        open_model(made)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"version": 1}'])
def test_a_contract_that_is_none(tmp_path, says, text):
    made = write_model(tmp_path / "m.onnx", says=text)
    with says(f"'{made}' does not say what it wants to see: export it anew with distill export"):
        open_model(made)


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (graph_of(Weights(), ("n", 3, 16), 3, ("x", LOGITS, PROBABILITIES)), "its input is named 'x', not 'windows'"),
        (graph_of(Weights(), (1, 3, 16), 3), "it takes one window at a time"),
        (graph_of(Weights(), ("n", 3, "t"), 3), "its input has 3 channels of None samples, where it says 3 of 16"),
        (graph_of(Weights(), ("n", 3, 16), 3, outputs=1), "it has no output 'probabilities' but logits"),
    ],
)
def test_a_graph_that_is_not_what_its_contract_says(tmp_path, says, graph, why):
    made = write_graph(tmp_path / "m.onnx", graph, {KEY: contract().to_json()})
    with says(f"'{made}' contradicts itself ({why}): it is damaged, export it anew with distill export"):
        open_model(made)


def test_inputs_that_are_no_windows(tmp_path, says):
    two = graph_of(Weights(), ("n", 3, 16), 3)
    two.input.append(helper.make_tensor_value_info("more", 7, ["n"]))
    made = write_graph(tmp_path / "m.onnx", two)
    with says(
        f"'{made}' takes the inputs {INPUT} (n, 3, 16) tensor(float), more (n) tensor(int64): a model here takes one, windows "
        "of shape (window, channel, time) in float32"
    ):
        open_model(made)
    made = write_graph(tmp_path / "m.onnx", graph_of(Weights(), (8, 3, 16), 3))
    with says(f"'{made}' takes 8 windows at once, no more and no fewer: export it with a free batch size"):
        open_model(made)


def test_answers_that_cannot_be_are_refused(tmp_path, says):
    weights = Weights()
    weights.bias[1] = np.nan
    made = write_graph(tmp_path / "m.onnx", graph_of(weights, ("n", 3, 16), 3), {KEY: contract().to_json()})
    with says(
        f"'{made}' answers logits that are not finite, or probabilities that do not sum to 1: it is damaged, export it anew "
        "with distill export"
    ):
        open_model(made).predict(some_windows())
