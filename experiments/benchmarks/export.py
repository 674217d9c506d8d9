"""How fast and how small an exported student is: eager torch beside ONNX Runtime in float32 and int8, and whether they agree.

    python experiments/benchmarks/export.py          about a minute on two idle cores
    python experiments/benchmarks/export.py --quick  fewer windows and rounds, to see that it works

The student is the 1-D WRN16-1 for 4 activities, on windows of 500 and of 128 samples x 3 axes. Windows are real (`real.py`), and
it is trained on them for a moment, so that its maps look like those of a student in use: with weights of chance or windows of
zeros, both int8 and its ranges are of another kind. It is evaluated on further windows, joined from the same recordings in another
order, so accuracy says nothing about other people here; agreement is what counts. One window goes through each contender in
turns, in one thread.

Writes `experiments/results/export.csv`. The issue asks for int8 at least 4 times faster than eager.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from real import machine, windows

from distill.batching import Samples
from distill.deploy.contract import Contract
from distill.deploy.graph import file_of, graph_of
from distill.deploy.int8 import quantised, stratified
from distill.deploy.running import exact_logits, latencies, logits_of, parity, peak_values
from distill.models import build_model
from distill.models.listing import count_macs
from distill.models.standardize import Standardize, Standardized
from distill.prediction import predict
from distill.schedule import Schedule
from distill.train import train
from distill.views import View

RESULTS = Path(__file__).parents[1] / "results"
NETWORK, CLASSES, CHANNELS = "wrn16-1", 4, 3
UNITS = ("m/s^2",) * CHANNELS


def measured(length: int, n: int, epochs: int, rounds: int) -> dict[str, object]:
    """Train a student on n windows, export it, and compare and time the files on as many others."""
    values, labels = windows(n, length), np.arange(n) % CLASSES
    others = windows(n, length, first=n)
    view = View(imager=None, units=UNITS)
    samples = Samples(
        values=torch.from_numpy(values), labels=torch.from_numpy(labels), ids=np.array([f"w{i:05d}" for i in range(n)])
    )
    torch.manual_seed(0)
    network = build_model(NETWORK, dims=1, in_channels=CHANNELS, classes=CLASSES)
    model = Standardized(Standardize.fit(samples.values), network)
    train(model, view, samples, Schedule(epochs=epochs, batch_size=64, learning_rate=0.05), seed=0)
    model.eval()
    contract = Contract(
        channels=("acc-x", "acc-y", "acc-z"),
        units=UNITS,
        rate_hz=10.0,
        length=length,
        classes=("standing", "running", "walking", "badminton"),
        energy=0.0,
        low=tuple(values.min(axis=(0, 2)).tolist()),
        high=tuple(values.max(axis=(0, 2)).tolist()),
        about={},
    )
    graph = graph_of(model, CHANNELS, length)
    chosen = stratified(labels, np.full(n, ""))
    files = {
        "int8": file_of(quantised(graph, values[chosen]), contract),
        "float32": file_of(graph, contract),
    }
    expected = predict(model, view, torch.from_numpy(others)).numpy()
    got = {name: logits_of(content, others) for name, content in files.items()}
    same = parity(expected, got["float32"], exact=lambda rows: exact_logits(model, others[rows]))
    times = latencies(model, files, others[:1], rounds)
    row: dict[str, object] = {
        "network": NETWORK,
        "samples": length,
        "windows": n,
        "largest_logit": float(np.abs(expected).max()),
        "difference": same.difference,
        "limit": same.limit,
        "other_class": same.other_class,
        "int8_agreement": parity(expected, got["int8"]).agreement,
        "float32_accuracy": float((got["float32"].argmax(1) == labels).mean()),
        "int8_accuracy": float((got["int8"].argmax(1) == labels).mean()),
    }
    for name in ("eager", "float32", "int8"):
        row |= {
            f"{name}_us": times[name]["median"],
            f"{name}_q1": times[name]["low"],
            f"{name}_q3": times[name]["high"],
        }
    for name in ("float32", "int8"):
        row[f"{name}_times_faster"] = times["eager"]["median"] / times[name]["median"]
        row[f"{name}_bytes"] = len(files[name])
    return row | {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "macs": count_macs(model, torch.from_numpy(others[:1])),
        "peak_values": peak_values(graph, others[:1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark of exported students; see the docstring.")
    parser.add_argument("--quick", action="store_true", help="fewer windows and rounds")
    quick = parser.parse_args().quick
    n, epochs, rounds = (128, 1, 20) if quick else (1024, 4, 500)
    table = pd.DataFrame([measured(length, n, epochs, rounds) for length in (500, 128)])
    shown = table.map(lambda value: f"{value:.4g}" if isinstance(value, float) else str(value))
    print(shown.T.to_string(header=False))
    facts = machine() | {name: version(name) for name in ("onnx", "onnxruntime")}
    print(" ".join(f"{key}={value}" for key, value in facts.items()))
    if not quick:
        table.assign(rounds=rounds, **facts).to_csv(RESULTS / "export.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
