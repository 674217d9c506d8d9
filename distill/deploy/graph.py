"""A network as an ONNX graph: raw windows in, logits and probabilities out, the same bytes for the same weights."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import torch
from torch import nn

from distill.deploy import seal
from distill.deploy.contract import INPUT, KEY, LOGITS, PROBABILITIES, Contract
from tsimage.errors import UserError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

OPSET = 18
"""Of the standard operators; runtimes since 2023 know it."""
IR = 10
"""Version of the file format, the highest that ONNX Runtime 1.20 reads."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")


class _Answers(nn.Module):
    """Logits, and the probabilities that they mean."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.model(windows)
        return logits, logits.softmax(dim=1)


def check_installed() -> None:
    """Refuse to export where what it needs is not installed.

    Raises
    ------
    UserError
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"an export needs {' and '.join(missing)}, which is not installed: pip install 'tsimage[export]'"
        )


def graph_of(model: nn.Module, channels: int, length: int) -> ModelProto:
    """Write a network as an ONNX graph for any number of windows at a time.

    Parameters
    ----------
    model : Module
        On the CPU; takes raw windows (window, channel, time) and gives logits (window, class).
    channels, length : int
        Of a window.

    Returns
    -------
    ModelProto
        Without anything that depends on where and when it was made.
    """
    example = torch.zeros(2, channels, length)  # one window would fix their number
    program = torch.onnx.export(
        _Answers(model).eval(),
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[LOGITS, PROBABILITIES],
        dynamic_shapes={INPUT: {0: torch.export.Dim("window", min=1, max=2**20)}},
        verbose=False,
    )
    assert program is not None
    made = program.model_proto
    bare(made)
    return made


def bare(model: ModelProto) -> None:
    """Take out of a graph what is no part of its function: unused weights, notes of the tracer with paths, names of tools."""
    graph = model.graph
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    _drop_unused(graph)
    for values in (graph.input, graph.output, graph.value_info, graph.initializer):
        for value in values:
            del value.metadata_props[:]
            value.doc_string = ""
    del graph.value_info[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    graph.name, graph.doc_string, model.doc_string = "student", "", ""
    model.producer_name, model.producer_version, model.ir_version = "distill", "", IR


def file_of(model: ModelProto, contract: Contract) -> bytes:
    """Return the bytes of a file that holds a graph, what it wants to see, and a checksum of both.

    Parameters
    ----------
    model : ModelProto
        Is changed: its metadata are the contract and the checksum, and nothing else.
    contract : Contract

    Returns
    -------
    bytes
        Seen to be valid ONNX.
    """
    import onnx

    bare(model)
    onnx.helper.set_model_props(model, {KEY: contract.to_json(), seal.KEY: seal.BLANK})
    onnx.checker.check_model(model, full_check=True)
    return seal.sealed(model.SerializeToString(deterministic=True))


def with_convolved_normalisation(model: ModelProto) -> ModelProto:
    """Return a graph in which batch normalisations are convolutions one sample wide, of each channel by itself.

    Each computes the same: a scale and a shift for each channel. A convolution has int8 kernels in every runtime, with a scale
    for each channel, in which its one weight is exact; a normalisation that follows an addition would stay in float.

    Parameters
    ----------
    model : ModelProto
        For signals.

    Returns
    -------
    ModelProto
    """
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    for node in made.graph.node:
        if node.op_type != "BatchNormalization":
            continue
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        scale, shift, mean, variance = (weights[name].astype("float64") for name in node.input[1:5])
        factor = scale / (variance + epsilon) ** 0.5
        names = [f"{node.output[0]}.{kind}" for kind in ("weight", "bias")]
        for name, values in zip(names, (factor[:, None, None], shift - mean * factor), strict=True):
            made.graph.initializer.append(onnx.numpy_helper.from_array(values.astype("float32"), name))
        inputs, output, title = [node.input[0], *names], list(node.output), node.name
        node.Clear()
        node.CopyFrom(
            onnx.helper.make_node("Conv", inputs, output, name=title, kernel_shape=[1], group=len(factor)),
        )
    _drop_unused(made.graph)
    return made


def _drop_unused(graph: GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
