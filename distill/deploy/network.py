"""Graphs in ONNX files, opened in onnxruntime; whatever such a file may be, one sentence says what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from distill.deploy import seal
from tsimage.errors import UserError

MAX_BYTES = 1 << 30
"""Larger files are not read: students have some hundred KiB, and the format itself ends at 2 GiB."""
_TOGETHER = 256  # windows that one call of the runtime gets


class Network:
    """A graph in an ONNX file with one input (window, channel, time) in float32.

    Parameters
    ----------
    path : Path
    threads : int
        That one call may use.

    Attributes
    ----------
    n_bytes : int
        Of the file.
    channels, length : int or None
        Of the input; None where the file leaves it open.
    outputs : dict of str to tuple
        Name and shape of each output; an axis that the file leaves open is a word or None.
    metadata : dict of str to str
    is_whole : bool
        Whether its bytes are those that were written, by the checksum in its metadata; not where there is none.
    one_by_one : bool
        Whether it takes just one window at a time.

    Raises
    ------
    UserError
        If onnxruntime is missing, or the file is missing, damaged, too large, in parts, or has another input.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.path = path
        content = _content(path)
        self.n_bytes = len(content)
        self._session = _session(content, path, threads)
        try:
            self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
            inputs = self._session.get_inputs()
            shapes = ", ".join(f"{i.name} {shape_text(i.shape)} {i.type}" for i in inputs) or "none"
            self.outputs = {out.name: tuple(out.shape) for out in self._session.get_outputs()}
        except UnicodeDecodeError as error:
            raise _damaged(path, f"words that are no text: {error.reason}") from error
        self.is_whole = seal.is_whole(content, self.metadata.get(seal.KEY, ""))
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 3:
            raise UserError(
                f"'{path}' takes the inputs {shapes}: a model here takes one, windows of shape (window, channel, time) in float32"
            )
        self.input = inputs[0].name
        batch, channels, length = (n if isinstance(n, int) else None for n in inputs[0].shape)
        if batch not in (None, 1):
            raise UserError(
                f"'{path}' takes {batch} windows at once, no more and no fewer: export it with a free batch size"
            )
        self.one_by_one, self.channels, self.length = batch == 1, channels, length

    def run(self, names: Sequence[str], windows: np.ndarray) -> list[np.ndarray]:
        """Return the outputs of these names for windows of float32, shape (window, channel, time), one window or more.

        Raises
        ------
        UserError
            If the graph cannot be run.
        """
        step = 1 if self.one_by_one else _TOGETHER
        found = []
        for start in range(0, len(windows), step):
            part = np.ascontiguousarray(windows[start : start + step], dtype=np.float32)
            try:
                found.append(self._session.run(list(names), {self.input: part}))
            except Exception as error:  # the runtime has a class of error of its own for each cause
                raise UserError(
                    f"'{self.path}' cannot be run ({_reason(error)}): it is damaged, or was made for another runtime"
                ) from error
        return [np.concatenate(outputs) for outputs in zip(*found, strict=True)]


def _content(path: Path) -> bytes:
    if not path.exists():
        raise UserError(f"'{path}' does not exist: give an .onnx file that distill export wrote")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise UserError(f"'{path}' is {kind}: give an .onnx file that distill export wrote")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UserError(
            f"'{path}' has {size:,} bytes: models of at most {MAX_BYTES:,} are read, and a student is far smaller; check that "
            "this is the file you mean"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"'{path}' cannot be read ({error.strerror or error}): check its permissions and the disk"
        ) from error


def _session(content: bytes, path: Path, threads: int) -> Any:
    try:
        onnxruntime = import_module("onnxruntime")  # which has no types
    except ImportError as error:
        raise UserError(
            "models in ONNX files run in onnxruntime, which is not installed: pip install 'tsimage[export]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    # Weights are looked for below the model's own path, a file, so that none outside of it is ever opened.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.absolute()))
    try:
        # without the fallback, which prints what went wrong and then tries the same once more
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # the runtime has a class of error of its own for each cause
        reason = _reason(error)
        if "xternal data" in reason:
            raise UserError(
                f"'{path}' keeps its weights in another file: export it into a single one, as distill export does"
            ) from error
        raise _damaged(path, reason) from error


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"'{path}' is no ONNX file, or a damaged one ({reason}): get or export it anew with distill export"
    )


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split()).rpartition(" : ")[2].strip().rstrip(".")
    return words if len(words) <= 200 else words[:197] + "..."


def shape_text(shape: Sequence[int | str | None]) -> str:
    """Write a shape, with the names of axes that are left open.

    >>> shape_text(["n", 3, 128])
    '(n, 3, 128)'
    """
    return f"({', '.join(str(n) for n in shape)})"
