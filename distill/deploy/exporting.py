"""A network of a finished run written as ONNX files that were seen to say the same, with a card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distill.deploy.card import card
from distill.deploy.contract import Contract
from distill.deploy.graph import OPSET, check_installed, file_of, graph_of
from distill.deploy.int8 import quantised, stratified
from distill.deploy.picking import Picked, pick
from distill.deploy.provenance import provenance
from distill.deploy.running import ROUNDS, Parity, exact_logits, latencies, logits_of, parity, peak_values, processor
from distill.evaluate import metrics
from distill.models.listing import count_macs
from distill.prediction import predict
from distill.stress import read_stress
from distill.views import View
from tsimage import atomic
from tsimage.errors import UserError
from tsimage.windows import Windows

ENERGY_PERCENTILE = 1.0
DECIMALS = 4
"""Of the energy, so that the last bits of a sum do not change the file."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """What is written for devices, in memory.

    Parameters
    ----------
    float32, int8 : bytes
        ONNX files with the same inputs, outputs and contract.
    contract : Contract
    peak_values : int
        Numbers that the graph holds at once for one window; see `distill.deploy.running.peak_values`.
    calibrated_on : ndarray of int64
        Positions of windows on whom the ranges of int8 were measured, training windows all.
    """

    float32: bytes
    int8: bytes
    contract: Contract
    peak_values: int
    calibrated_on: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Files that were written.

    Parameters
    ----------
    float32, int8, card, numbers : Path
        The two ONNX files, the card in Markdown, and everything that was measured, as JSON.
    contract : Contract
        As both ONNX files hold it.
    content : mapping
        Of `numbers`.
    """

    float32: Path
    int8: Path
    card: Path
    numbers: Path
    contract: Contract
    content: Mapping[str, Any]

    def __str__(self) -> str:
        parity, int8, latency = (self.content[key] for key in ("parity", "int8", "latency"))
        times = {name: f"{latency[name]['median']:,.0f}" for name in ("eager", "float32", "int8")}
        return "\n".join(
            (
                f"{self.float32}  float32, {self.float32.stat().st_size / 1024:,.0f} KiB: largest difference to a logit of torch "
                f"{parity['difference']:.1e} in {parity['windows']:,} {self.content['data']['part']} windows, the same class in all",
                f"{self.int8}  int8, {self.int8.stat().st_size / 1024:,.0f} KiB: the same class as float32 in "
                f"{100 * int8['agreement']:.2f} %, accuracy {100 * int8['accuracy']:.2f} % beside "
                f"{100 * self.content['scores']['accuracy']:.2f} %",
                f"One window in one thread, median: eager torch {times['eager']}, float32 {times['float32']}, int8 {times['int8']} "
                "microseconds",
                f"{self.card}  the card; all numbers are in {self.numbers.name}",
            )
        )


def export_run(
    folder: str | Path,
    *,
    role: str = "student",
    seed: int | None = None,
    fold: str = "",
    out: str | Path | None = None,
    windows: Windows | None = None,
    rounds: int = ROUNDS,
) -> Exported:
    """Write a network of a finished run as ONNX files in float32 and int8, with a card and what was measured.

    Parameters
    ----------
    folder : str or Path
        A run directory.
    role, seed, fold, windows
        Which network, and its data; see `distill.deploy.picking.pick`.
    out : str or Path, optional
        The float32 file, ending in .onnx; its siblings stand beside it. Below `export/` of the run by default.
    rounds : int
        How often one window is timed.

    Returns
    -------
    Exported

    Raises
    ------
    UserError
        If the network cannot be had, if the rate of its windows is not known, if the card would replace another file, or if the
        float32 file does not say the same as torch in every window of the evaluation part; then no file is left.
    """
    check_installed()
    path = None if out is None else _checked(Path(out))
    picked = pick(folder, role, seed, fold, windows)
    path = path or picked.record.folder / "export" / f"{picked.name}.onnx"
    paths = [path, *(path.with_suffix(suffix) for suffix in (".int8.onnx", ".md", ".json"))]
    _check_free(paths)
    stressed = read_stress(picked.record)
    held_out = picked.split.evaluation
    values, labels = picked.windows.values[held_out], picked.windows.labels[held_out]
    expected = said(picked, values)
    scores = _scores(picked.windows, held_out, expected)
    about = {"name": picked.name, "scores": scores, **provenance(picked)}
    files = files_of(picked, about)
    same = parity(
        expected, logits_of(files.float32, values), exact=lambda rows: exact_logits(picked.model, values[rows])
    )
    if not same.holds:
        for each in paths:
            each.unlink(missing_ok=True)
        raise UserError(_not_the_same(path, same))
    content = {
        **about,
        "opset": OPSET,
        "contract": {key: value for key, value in asdict(files.contract).items() if key != "about"},
        "parity": asdict(same),
        "int8": _int8(picked, files, expected, values, labels),
        "size": {
            "parameters": sum(parameter.numel() for parameter in picked.model.parameters()),
            "macs": count_macs(picked.model, torch.from_numpy(values[:1])),
            "peak_values": files.peak_values,
            "float32_bytes": len(files.float32),
            "int8_bytes": len(files.int8),
        },
        "latency": {
            "machine": processor(),
            "rounds": rounds,
            **latencies(picked.model, {"float32": files.float32, "int8": files.int8}, picked.train[:1], rounds),
        },
        "files": {
            paths[0].name: hashlib.sha256(files.float32).hexdigest(),
            paths[1].name: hashlib.sha256(files.int8).hexdigest(),
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(paths[0], files.float32)
    atomic.write_bytes(paths[1], files.int8)
    written = card(content, picked.record.folder, None if stressed is None else stressed.frame)
    atomic.write_json(paths[3], content)
    atomic.write_bytes(paths[2], written.encode())
    return Exported(
        float32=paths[0], int8=paths[1], card=paths[2], numbers=paths[3], contract=files.contract, content=content
    )


def files_of(picked: Picked, about: Mapping[str, Any]) -> Files:
    """Make both files of a network, from its weights and its training windows; no other window is looked at.

    Parameters
    ----------
    picked : Picked
    about : mapping
        What the contract says of where the model comes from.

    Returns
    -------
    Files
        The same bytes for the same weights, training windows and `about`.

    Raises
    ------
    UserError
        If the sampling rate is not known.
    """
    windows, train = picked.windows, picked.split.train
    if windows.rate_hz is None:
        raise UserError(
            f"{windows.name}: the sampling rate of the windows is not known, and whoever uses the model must know it: store rate_hz with "
            "the windows, or give the rate to the run"
        )
    values = picked.train
    logits = torch.from_numpy(said(picked, values)).double()
    energy = float(np.percentile(torch.logsumexp(logits, dim=1).numpy(), ENERGY_PERCENTILE))
    contract = Contract(
        channels=tuple(windows.channels),
        units=tuple(windows.units),
        rate_hz=float(windows.rate_hz),
        length=windows.length,
        classes=tuple(windows.class_names),
        energy=round(energy, DECIMALS),
        low=tuple(values.min(axis=(0, 2)).tolist()),
        high=tuple(values.max(axis=(0, 2)).tolist()),
        about=about,
    )
    graph = graph_of(picked.model, len(windows.channels), windows.length)
    chosen = stratified(windows.labels[train], windows.subjects[train])
    return Files(
        float32=file_of(graph, contract),
        int8=file_of(quantised(graph, values[chosen]), contract),
        contract=contract,
        peak_values=peak_values(graph, values[:1]),
        calibrated_on=train[chosen],
    )


def said(picked: Picked, values: np.ndarray) -> np.ndarray:
    """Return the logits (window, class) of torch for raw windows."""
    view = View(imager=None, units=picked.windows.units)
    return predict(picked.model, view, torch.from_numpy(values)).numpy()


def _scores(windows: Windows, index: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
    found = metrics(windows.labels[index], logits.argmax(1), windows.subjects[index])
    by_class = {windows.class_names[code]: f1 for code, f1 in found["f1_by_class"].items()}
    kept = ("accuracy", "balanced_accuracy", "macro_f1", "subject_accuracy")
    return {key: found[key] for key in kept} | {"f1_by_class": by_class}


def _int8(picked: Picked, files: Files, expected: np.ndarray, values: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Say how the int8 file compares, and on what it was calibrated."""
    got = logits_of(files.int8, values)
    compared = parity(expected, got)
    chosen = files.calibrated_on
    scores = _scores(picked.windows, picked.split.evaluation, got)
    return {
        **scores,
        "agreement": compared.agreement,
        "difference": compared.difference,
        "calibration": {
            "windows": len(chosen),
            "subjects": len(set(picked.windows.subjects[chosen].tolist()) - {""}),
            "windows_by_class": {
                name: int((picked.windows.labels[chosen] == code).sum())
                for code, name in enumerate(picked.windows.class_names)
            },
        },
    }


def _checked(out: Path) -> Path:
    if out.suffix != ".onnx" or out.is_dir():
        raise UserError(f"cannot export to '{out}': name a file ending in .onnx")
    return out


def _check_free(paths: Sequence[Path]) -> None:
    """Refuse to write a card in the place of something else, as of a README."""
    _, _, card, numbers = paths
    if card.exists() and not (
        numbers.exists() and '"contract"' in numbers.read_text(encoding="utf-8", errors="replace")
    ):
        raise UserError(f"'{card}', where the card belongs, is of something else: export to another name (option out)")


def _not_the_same(path: Path, found: Parity) -> str:
    return (
        f"the float32 file does not say the same as torch, so nothing is left at '{path}': in {found.windows:,} windows the largest "
        f"difference of a logit is {found.difference:.1e} (allowed {found.limit:.1e}) and {found.other_class} have another class: "
        "report this network with its weights, or try other versions of torch and onnxruntime"
    )
