"""Small models in ONNX files, made without torch: a convolution, the mean over time, a linear layer, softmax."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from distill.deploy import seal
from distill.deploy.contract import INPUT, KEY, LOGITS, PROBABILITIES, Contract

CHANNELS, UNITS = ("acc-x", "acc-y", "acc-z"), ("g", "g", "g")
CLASSES = ("lie", "sit", "walk")


def contract(**fields):
    given = {
        "channels": CHANNELS,
        "units": UNITS,
        "rate_hz": 50.0,
        "length": 16,
        "classes": CLASSES,
        "energy": 0.5,
    } | fields
    n = len(given["channels"])
    return Contract(**{"low": (-4.0,) * n, "high": (4.0,) * n, "about": {"data": "made"}} | given)


class Weights:
    """Of the network; `logits` is the same network in NumPy."""

    def __init__(self, n_channels=3, n_classes=3, seed=0, width=5):
        rng = np.random.default_rng(seed)
        self.kernel = rng.normal(size=(4, n_channels, width)).astype(np.float32)
        self.linear = (2 * rng.normal(size=(4, n_classes))).astype(np.float32)
        self.bias = rng.normal(size=n_classes).astype(np.float32)

    def logits(self, windows):
        windows = windows.astype(np.float64)
        width = self.kernel.shape[2]
        views = np.lib.stride_tricks.sliding_window_view(windows, width, axis=2)
        convolved = np.einsum("nctk,fck->nft", views, self.kernel.astype(np.float64))
        return np.maximum(convolved, 0).mean(axis=2) @ self.linear + self.bias


def graph_of(weights, shape, n_classes, names=(INPUT, LOGITS, PROBABILITIES), outputs=2):
    given, logits, probabilities = names
    tensors = {"kernel": weights.kernel, "linear": weights.linear, "bias": weights.bias}
    nodes = [
        helper.make_node("Conv", [given, "kernel"], ["convolved"]),
        helper.make_node("Relu", ["convolved"], ["rectified"]),
        helper.make_node("ReduceMean", ["rectified"], ["pooled"], axes=[2], keepdims=0),
        helper.make_node("Gemm", ["pooled", "linear", "bias"], [logits]),
        helper.make_node("Softmax", [logits], [probabilities], axis=1),
    ]
    answers = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", n_classes]) for name in (logits, probabilities)
    ]
    return helper.make_graph(
        nodes[: 3 + outputs],
        "made",
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, list(shape))],
        answers[:outputs],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )


def write_graph(path, graph, metadata=None, **saving):
    """Write any graph; with metadata also the checksum, where all is in one file."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {**metadata, seal.KEY: seal.BLANK} if metadata else {})
    save(model, path, **saving)
    if metadata and not saving:
        path.write_bytes(seal.sealed(path.read_bytes()))
    return path


def write_model(path, made=None, seed=0, says=None, **saving):
    """Write a model of this contract; `says` replaces the contract that stands in the file."""
    made = contract() if made is None else made
    weights = Weights(len(made.channels), len(made.classes), seed)
    graph = graph_of(weights, ("n", len(made.channels), made.length), len(made.classes))
    return write_graph(path, graph, {KEY: made.to_json() if says is None else says}, **saving)
