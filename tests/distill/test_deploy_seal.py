"""Exported files carry a checksum: whatever is changed in them is found."""

import numpy as np
import onnx
import pytest

from distill.deploy import seal
from distill.deploy.graph import file_of
from distill.deploy.model import open_model
from tests.distill.onnx_models import Weights, contract, graph_of


@pytest.fixture
def exported(tmp_path):
    made = contract()
    graph = graph_of(Weights(), ("n", 3, made.length), len(made.classes))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    path = tmp_path / "student.onnx"
    path.write_bytes(file_of(model, made))
    return path


def test_what_was_written_is_opened(exported):
    windows = np.random.default_rng(0).normal(size=(4, 3, 16)).astype(np.float32)
    np.testing.assert_allclose(open_model(exported).logits(windows), Weights().logits(windows), atol=1e-5)


def test_changed_weights_are_told(exported, says):
    model = onnx.load(exported)
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "bias")
    bias.raw_data = np.zeros(3, dtype=np.float32).tobytes()
    onnx.save(model, exported)
    unlike = f"'{exported}' is not as distill export wrote it"
    with says(f"{unlike}, its checksum is another: get it once more, or export it anew"):
        open_model(exported)
    (entry,) = (one for one in model.metadata_props if one.key == seal.KEY)
    model.metadata_props.remove(entry)
    onnx.save(model, exported)
    with says(f"{unlike}, it carries no checksum: get it once more, or export it anew"):
        open_model(exported)


@pytest.mark.parametrize("checksum", ["", "0" * 64, "a", "é" * 32])
def test_a_checksum_that_is_none_is_another(exported, checksum):
    assert not seal.is_whole(exported.read_bytes(), checksum)
