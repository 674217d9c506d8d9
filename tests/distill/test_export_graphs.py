"""Networks as ONNX graphs: every architecture, dynamic batches, what int8 needs, and how much memory a graph takes."""

import re
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn

from distill.deploy.contract import INPUT, KEY, Contract
from distill.deploy.graph import IR, OPSET, file_of, graph_of, with_convolved_normalisation
from distill.deploy.int8 import quantised, stratified
from distill.deploy.running import exact_logits, latencies, parity, peak_values
from distill.models import MODELS, build_model
from distill.models.standardize import Standardize, Standardized

CHANNELS, LENGTH, CLASSES = 3, 40, 5
SMALLEST = {"wrnD-K": "wrn10-1", "dsD-K": "ds10-1", "seD-K": "se10-1-gn"}
NAMES = [SMALLEST.get(name, name) for name, model in MODELS.items() if 1 in model.dims]
CONTRACT = Contract(
    channels=("x", "y", "z"),
    units=("g", "g", "g"),
    rate_hz=50.0,
    length=LENGTH,
    classes=tuple("abcde"),
    energy=0.5,
    low=(-1.0,) * 3,
    high=(1.0,) * 3,
    about={"of": "a test"},
)


def windows(n, seed=1):
    """Raw windows whose channels have quite different means and deviations."""
    rng = np.random.default_rng(seed)
    wide = np.array([1, 9.8, 0.1])[:, None]
    return (rng.normal(size=(n, CHANNELS, LENGTH)) * wide + [[1], [-5], [0]]).astype(np.float32)


def network(name):
    """A network of chance whose running statistics, scales and shifts are far from those it starts with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = build_model(name, dims=1, in_channels=CHANNELS, classes=CLASSES, size=LENGTH)
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.GroupNorm):
                nn.init.uniform_(layer.weight, -1.5, 1.5)
                nn.init.normal_(layer.bias, 0, 0.3)
            if isinstance(layer, nn.BatchNorm1d):
                layer.running_mean.normal_(0, 0.5)
                layer.running_var.uniform_(0.2, 3)
    return Standardized(Standardize.fit(torch.from_numpy(windows(50))), model).eval()


@cache
def exported(name):
    return graph_of(network(name), CHANNELS, LENGTH)


def run(content, values):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["logits", "probabilities"], {"windows": values})


def ops(model):
    return [node.op_type for node in model.graph.node]


def test_there_are_architectures():
    assert {"wrn10-1", "ds10-1", "inception", "patch", "se10-1-gn"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_says_the_same(name):
    model = network(name)
    graph = exported(name)
    content = file_of(graph, CONTRACT)
    for n in (1, 7):
        values = windows(n)
        with torch.no_grad():
            expected = model(torch.from_numpy(values)).numpy()
        logits, probabilities = run(content, values)
        assert logits.shape == probabilities.shape == (n, CLASSES)
        assert np.abs(logits - expected).max() <= 1e-5
        assert (logits.argmax(1) == expected.argmax(1)).all()
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
        odds = np.exp(expected.astype(float))
        np.testing.assert_allclose(probabilities, odds / odds.sum(1, keepdims=True), atol=1e-5)
    read = onnx.load_from_string(content)
    assert [(one.domain, one.version) for one in read.opset_import if not one.domain] == [("", OPSET)]
    assert read.ir_version == IR
    assert not re.search(rb"\.py|/tmp|site-packages|stack", content)  # nothing of the tracer
    assert Contract.from_json({p.key: p.value for p in read.metadata_props}[KEY], "it") == CONTRACT

    small = file_of(quantised(graph, windows(64)), CONTRACT)
    with torch.no_grad():
        expected = model(torch.from_numpy(windows(64))).numpy()
    logits, probabilities = run(small, windows(64))
    assert logits.dtype == probabilities.dtype == np.float32
    error = np.sqrt(((logits - expected) ** 2).mean())
    assert 0 < error < 0.2 * expected.std()
    assert run(small, windows(1))[0].shape == (1, CLASSES)
    assert len(small) < 0.85 * len(content)


def test_normalisations_become_convolutions_that_compute_the_same():
    graph = exported("wrn10-1")
    made = with_convolved_normalisation(graph)
    assert "BatchNormalization" in ops(graph)  # the given graph is left alone
    assert "BatchNormalization" not in ops(made)
    before, after = (run(one.SerializeToString(), windows(9))[0] for one in (graph, made))
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert not np.array_equal(run(made.SerializeToString(), windows(9, seed=2))[0], before)


def test_weights_of_int8_have_a_scale_for_each_channel_and_seven_bits():
    made = quantised(exported("ds10-1"), windows(64))
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    wide = [array for array in tensors.values() if array.dtype == np.int8 and array.ndim == 3]
    assert len(wide) == 1 + 2 + 12 + 4  # stem, shortcuts, halves of separable pairs, normalisations that follow a sum
    assert max(int(np.abs(array.astype(int)).max()) for array in wide) == 64
    scales = [
        tensors[node.input[1]]
        for node in made.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors and tensors[node.input[0]].ndim == 3
    ]
    assert {scale.ndim for scale in scales} == {1}
    zero_points = {tensors[n.input[2]].dtype for n in made.graph.node if n.op_type == "QuantizeLinear"}
    assert zero_points == {np.dtype(np.uint8)}


def tiny(nodes, *outputs):
    values = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", 1, 4])]
    answers = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph([helper.make_node(op, ins, outs) for op, ins, outs in nodes], "tiny", values, answers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def test_memory_counted_by_hand():
    window = np.ones((1, 1, 4), np.float32)
    chain = tiny([("Relu", [INPUT], ["a"]), ("Relu", ["a"], ["b"]), ("Relu", ["b"], ["c"])], "c")
    assert peak_values(chain, window) == 8  # one map in, one out
    around = tiny([("Relu", [INPUT], ["a"]), ("Relu", ["a"], ["b"]), ("Add", ["a", "b"], ["c"])], "c")
    assert peak_values(around, window) == 12  # a is kept for the sum
    wide = tiny([("Concat", [INPUT] * 3, ["a"]), ("ReduceMax", ["a"], ["b"])], "b")
    wide.graph.node[0].attribute.append(helper.make_attribute("axis", 1))
    assert peak_values(wide, window) == 16
    both = tiny([("Relu", [INPUT], ["a"]), ("Relu", ["a"], ["b"])], "a", "b")
    assert peak_values(both, window) == 8  # an answer is kept
    assert [output.name for output in chain.graph.output] == ["c"]


def test_memory_of_a_wide_residual_network():
    graph = exported("wrn10-1")
    map_ = 16 * LENGTH
    assert (
        peak_values(graph, windows(1)) == 3 * map_
    )  # a block: what is added at its end, and a layer's input and output


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=60),
    st.integers(1, 40),
)
@settings(max_examples=60)
def test_calibration_is_fair_to_every_class_of_every_person(pairs, most):
    people, labels = (np.array(column) for column in zip(*pairs, strict=True))
    names = np.array([f"s{p}" for p in people])
    chosen = stratified(labels, names, most)
    groups = set(pairs)
    assert len(chosen) == min(len(pairs), max(most, len(groups)))
    assert (np.diff(chosen) > 0).all()
    taken = {group: sum(pairs[i] == group for i in chosen) for group in groups}
    assert min(taken.values()) >= 1
    open_ = [taken[g] for g in groups if taken[g] < pairs.count(g)]  # which could have given more
    assert not open_ or max(taken.values()) - min(open_) <= 1
    np.testing.assert_array_equal(chosen, stratified(labels, names, most))


def test_parity_counts():
    expected = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])

    def off(by):
        return np.array([[0, 0], [0, by], [0, 0]])

    found = parity(expected, expected + off(8e-6))
    assert found.holds
    assert found.limit == 1e-5
    assert found.agreement == 1
    assert not parity(expected, expected + off(1.2e-5)).holds
    asked = []

    def exact(rows):
        asked.append(rows.tolist())
        return expected[rows] + 8e-6

    assert parity(expected, expected + off(8e-6), exact).limit == 1e-5
    assert asked == []
    far = parity(expected, expected + off(1.2e-5), exact)
    assert asked == [[1]]  # that window alone
    assert far.limit == pytest.approx(1.6e-5)
    assert far.holds
    assert not parity(expected, expected + off(1.7e-5), exact).holds
    turned = parity(expected, expected[:, ::-1])
    assert (turned.other_class, turned.agreement, turned.difference) == (3, 0, 3)
    assert not parity(expected, np.full_like(expected, np.nan)).holds


def test_a_tie_that_turns_is_another_class():
    expected = np.array([[1.0, 1.0 + 1e-7]])
    found = parity(expected, expected[:, ::-1])
    assert found.difference < found.limit
    assert not found.holds


def test_times_are_those_of_each_contender():
    class Slow(nn.Module):
        def forward(self, x):
            for _ in range(300):
                x = x + 1
            return x[:, :, 0]

    answers = {"logits": "a", "probabilities": "b"}
    fast = tiny([("Relu", [INPUT], ["logits"]), ("Relu", [INPUT], ["probabilities"])], *answers)
    threads = torch.get_num_threads()
    found = latencies(Slow(), {"fast": fast.SerializeToString()}, np.ones((1, 1, 4), np.float32), rounds=5)
    assert found.keys() == {"eager", "fast"}
    assert all(0 < times["low"] <= times["median"] <= times["high"] for times in found.values())
    assert found["eager"]["median"] > found["fast"]["median"]
    assert torch.get_num_threads() == threads


def test_exact_logits_are_those_of_float64():
    model = nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * LENGTH, 2))
    values = windows(300)
    weight, bias = (p.detach().numpy().astype(np.float64) for p in model[1].parameters())
    expected = values.reshape(300, -1).astype(np.float64) @ weight.T + bias
    found = exact_logits(model, values)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    assert model[1].weight.dtype == torch.float32  # the network itself is left alone
