"""The card of an exported model: what a stranger must know before using it, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from distill.deploy.contract import INPUT, LOGITS, PROBABILITIES
from distill.deploy.running import LIMIT
from distill.stress import CONDITIONS
from distill.table import plus_minus
from distill.views import SIGNAL

UNKNOWN = "not known"
ROLES = {
    "student": "a student distilled from teachers",
    "scratch": "a student trained from labels alone",
    "control": "a student trained from labels alone, for as long as a distilled one with a warm start",
    "teacher": "a teacher on the signal",
}


def card(content: Mapping[str, Any], run: Path, stressed: pd.DataFrame | None = None) -> str:
    """Write the card of a model.

    Parameters
    ----------
    content : mapping
        Everything that is known of it, as `distill.deploy.exporting.export_run` writes it to JSON.
    run : Path
        The run directory.
    stressed : DataFrame, optional
        What `distill stress` measured of the models of the run; see `distill.stress.measuring.COLUMNS`.

    Returns
    -------
    str
    """
    sections = (
        ("", _opening(content)),
        ("What it wants to see", _input(content["contract"], content["data"].get("gravity", {}))),
        ("What it answers", _output(content["contract"])),
        ("How good it is", _quality(content)),
        ("Robustness", _robustness(content["model"], run, stressed)),
        ("What it learnt from", _data(content["data"])),
        ("How it was trained", _recipe(content)),
        ("Size and speed", _size(content)),
        ("Does it say the same as the network that was trained?", _parity(content)),
        ("On a microcontroller", _microcontroller(content)),
        ("What it is for, and what it is not for", _limits(content)),
    )
    written = [f"## {title}\n\n{text}" if title else text for title, text in sections]
    return "\n\n".join([f"# {content['name']}", *written]) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["--"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _line(text: str) -> str:
    """Put names that somebody gave onto one line."""
    return " ".join(text.split())


def _listed(names: Iterable[str]) -> str:
    """List names, which may hold commas."""
    lines = [_line(name) for name in names]
    return ("; " if any("," in name for name in lines) else ", ").join(lines)


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.2f}"


def _kib(n_bytes: float) -> str:
    return f"{n_bytes / 1024:,.1f} KiB"


def _opening(content: Mapping[str, Any]) -> str:
    model, data, contract = content["model"], content["data"], content["contract"]
    seconds = contract["length"] / contract["rate_hz"]
    return (
        f"{model['network']}, {ROLES[model['role']]}. It tells {len(contract['classes'])} classes apart from {seconds:.2f} s of "
        f"{len(contract['channels'])} channels at {contract['rate_hz']:g} Hz, and was trained and evaluated on {data['name']}. Of "
        f"{data['evaluation_windows']:,} windows of the {data['part']} part it is right in "
        f"{_percent(content['scores']['accuracy'])} %."
    )


def _input(contract: Mapping[str, Any], gravity: Mapping[str, bool]) -> str:
    rows = [
        (str(number), channel, unit or UNKNOWN, f"{low:.4g} to {high:.4g}")
        for number, (channel, unit, low, high) in enumerate(
            zip(contract["channels"], contract["units"], contract["low"], contract["high"], strict=True)
        )
    ]
    return (
        f"Raw samples: `{INPUT}`, float32 of shape (any number of windows, {len(rows)} channels, {contract['length']} samples) at "
        f"{contract['rate_hz']:g} Hz. Nothing is to be scaled or filtered before: the standardisation is part of the model. Channels "
        "in this order and in these units:\n\n"
        + _table(("number", "channel", "unit", "range in the training windows"), rows)
        + _gravity(gravity)
        + "\n\nAnother order, unit or rate gives wrong answers without any warning from the model itself; `distill predict` checks "
        "them."
    )


def _gravity(gravity: Mapping[str, bool]) -> str:
    """Say in which channels gravity must be, and in which not."""
    sides = (
        ("Gravity is in {}: it must not be removed.", [name for name, there in gravity.items() if there]),
        ("Gravity is not in {}: it must be removed.", [name for name, there in gravity.items() if not there]),
    )
    said = " ".join(text.format(_listed(names)) for text, names in sides if names)
    return f"\n\n{said}" if said else ""


def _output(contract: Mapping[str, Any]) -> str:
    named = _listed(f"{number} {name}" for number, name in enumerate(contract["classes"]))
    return (
        f"`{PROBABILITIES}` (window, class), which add up to 1, and `{LOGITS}`, of which they are the softmax. Classes by number: "
        f"{named}.\n\nWhere log(sum(exp({LOGITS}))) lies below {contract['energy']:g}, as it does for 1 % of the training windows, the "
        "window is unlike those that the model learnt from, and its answer should not be trusted."
    )


def _quality(content: Mapping[str, Any]) -> str:
    scores, int8, data, seeds = content["scores"], content["int8"], content["data"], content["seeds"]
    rows = [
        (name, _percent(found["accuracy"]), _percent(found["macro_f1"]), _percent(found["subject_accuracy"]))
        for name, found in (("float32", scores), ("int8", int8))
    ]
    head = ("in %", "accuracy", "macro-F1", "mean accuracy of people")
    classes = [
        (name, f"{100 * f1:.2f}", f"{100 * int8['f1_by_class'][name]:.2f}")
        for name, f1 in scores["f1_by_class"].items()
    ]
    absent = [name for name in content["contract"]["classes"] if name not in scores["f1_by_class"]]
    missing = f" No window of this part is of class {_listed(absent)}: nothing is said about it." if absent else ""
    accuracy, f1 = (
        plus_minus(100 * seeds[key]["mean"], float("nan") if seeds[key]["sd"] is None else 100 * seeds[key]["sd"])
        for key in ("accuracy", "macro_f1")
    )
    everything = "all folds" if content["model"]["fold"] else ""
    runs = " and ".join(part for part in (f"all {seeds['n']} seeds" if seeds["n"] > 1 else "", everything) if part)
    mean = (
        f"Over {runs} of the run: accuracy {accuracy}, macro-F1 {f1}"
        + (" (+- is the sample standard deviation)." if seeds["n"] >= 3 else ".")
        if seeds["n"] > 1 or everything
        else "The run has one seed, so how much chance is in these numbers is not known."
    )
    optimistic = (
        f" These numbers are optimistic: the epoch was chosen on the {data['part']} part itself."
        if content["recipe"]["protocol"] == "lab"
        else ""
    )
    recipe = content["recipe"]
    is_first = content["model"]["seed"] == recipe["seeds"][0]
    first = (
        ""
        if len(recipe["seeds"]) == 1
        else " This is the first seed, which was not chosen by its score."
        if is_first
        else (" This is not the first seed: somebody chose it, perhaps by its score.")
    )
    people = f" of {data['evaluation_subjects']} people" if data["evaluation_subjects"] else ""
    return (
        f"On {data['evaluation_windows']:,} windows{people} ({data['part']} part), this very model (seed {content['model']['seed']}):\n\n"
        f"{_table(head, rows)}\n\n{mean}{first}{optimistic}\n\nF1 by class, in %:\n\n"
        f"{_table(('class', 'float32', 'int8'), classes)}{missing and chr(10) * 2 + missing.strip()}"
    )


def _robustness(model: Mapping[str, Any], run: Path, stressed: pd.DataFrame | None) -> str:
    if stressed is None:
        return f"Not measured yet; `distill stress {run.name}` does it, and the next export tells it here."
    mine = stressed[(stressed["role"] == model["role"]) & (stressed["seed"] == model["seed"])]
    mine = mine[mine["fold"] == model["fold"]]  # with folds every model has seen other people
    if model["role"] == "teacher":
        mine = mine[mine["model"] == f"teacher {model['network']}:{SIGNAL}{model['apart']}"]
    rows = []
    for name, group in mine.groupby("condition", sort=False):
        levels = [
            f"{level}: {100 * accuracy:.1f}" for level, accuracy in zip(group["level"], group["accuracy"], strict=True)
        ]
        known = CONDITIONS.get(str(name))  # not for windows as they are
        rows.append(
            (f"{name}, {known.unit}", known.meaning, ", ".join(levels))
            if known
            else ("none", "windows as they are", levels[0].removeprefix(": "))
        )
    intro = "Accuracy in % of this very model in float32 on the same windows, damaged, by level (int8 was not damaged):"
    return f"{intro}\n\n" + _table(("damage, unit of its levels", "what it does", "level: accuracy"), rows)


def _data(data: Mapping[str, Any]) -> str:
    shared = data["subjects_in_both"]
    people = (
        "who the people are is not known, so the same may be in both parts"
        if shared == "unknown"
        else f"{len(shared)} people are in both parts"
        if shared
        else "nobody is in both parts"
    )

    def part(name: str) -> str:
        subjects = data[f"{name}_subjects"]
        return f"{data[f'{name}_windows']:,} windows" + (f" of {subjects} people" if subjects else "")

    facts = [
        ("data set", data["name"]),
        ("worn", data["place"] or UNKNOWN),
        ("sensors", data["sensors"] or UNKNOWN),
        ("training part", part("train")),
        (f"{data['part']} part", part("evaluation")),
        ("split", f"{data['split']}; {people}"),
        ("sha256 of the windows", f"`{data['windows_sha256']}`"),
        ("licence of the data", data["licence"] or f"{UNKNOWN}: ask whoever gave the data"),
        ("to be cited", data["citation"] or UNKNOWN),
        *([("described at", data["page"])] if data["page"] else []),
    ]
    return _table(("", ""), facts)


def _recipe(content: Mapping[str, Any]) -> str:
    recipe, model = content["recipe"], content["model"]
    facts = [("loss", f"`{recipe['formula']}`")]
    if recipe["teachers"]:
        weighed = ", ".join(f"{name} ({_weight(weight)})" for name, weight in recipe["teachers"].items())
        facts.append(("teachers", weighed))
        named = (
            ("alpha (weight of the image teacher)", "alpha"),
            ("lambda (weight of distillation)", "lambda"),
            ("temperature T", "temperature"),
        )
        facts += [(title, f"{recipe[key]:g}") for title, key in named if recipe[key] is not None]
    if recipe.get("warm_start"):
        facts.append(("start", "from its own weights after training from labels alone"))
    epochs = str(recipe["epochs"])
    if recipe["kept_epoch"] not in (None, recipe["epochs"]):
        epochs += f", of which epoch {recipe['kept_epoch']} was kept"
    facts += [
        ("epochs", epochs),
        ("optimiser", f"{recipe['optimizer']}, rate {recipe['learning_rate']:g}, batches of {recipe['batch_size']}"),
        ("augmentation", recipe["augment"] or "none"),
        (
            "seed",
            f"{model['seed']}, of {', '.join(map(str, recipe['seeds']))}"
            if recipe["seeds"][1:]
            else str(model["seed"]),
        ),
        *([("fold", f"without {model['fold']}")] if model["fold"] else []),
        ("sha256 of the weights", f"`{model['weights_sha256']}`"),
    ]
    return _table(("", ""), facts)


def _weight(weight: float | str) -> str:
    return f"weight {weight:.4g}" if isinstance(weight, float | int) else f"weighed by {weight}"


def _size(content: Mapping[str, Any]) -> str:
    size, latency = content["size"], content["latency"]
    facts = [
        ("parameters", f"{size['parameters']:,}"),
        ("multiply-accumulates of one window", f"{size['macs']:,}"),
        (
            "most activations held at once, one window",
            f"{size['peak_values']:,}: {_kib(4 * size['peak_values'])} in float32, {_kib(size['peak_values'])} in int8",
        ),
        ("file in float32", _kib(size["float32_bytes"])),
        ("file in int8", _kib(size["int8_bytes"])),
    ]
    titles = {"eager": "torch, eager", "float32": "ONNX Runtime, float32", "int8": "ONNX Runtime, int8"}
    times = [
        (
            title,
            f"{latency[key]['median']:,.0f}",
            f"{latency[key]['low']:,.0f} to {latency[key]['high']:,.0f}",
            f"{latency['eager']['median'] / latency[key]['median']:.1f}",
        )
        for key, title in titles.items()
    ]
    return (
        f"{_table(('', ''), facts)}\n\nOne window in one thread, in microseconds, on {latency['machine']} ({latency['rounds']} rounds in "
        f"turns):\n\n{_table(('', 'median', 'quartiles', 'times faster'), times)}"
    )


def _parity(content: Mapping[str, Any]) -> str:
    same, int8 = content["parity"], content["int8"]
    calibration = int8["calibration"]
    people = f" of all {calibration['subjects']} people" if calibration["subjects"] else ""
    why = ", twice what torch itself rounds by" if same["limit"] > LIMIT else ""
    return (
        f"float32: over all {same['windows']:,} windows of the {content['data']['part']} part the largest difference to a logit of torch is "
        f"{same['difference']:.1e} (allowed {same['limit']:.1e}{why}), and the class is the same in every window.\n\n"
        f"int8: the class is that of float32 in {_percent(int8['agreement'])} % of them; the largest difference of a logit is "
        f"{int8['difference']:.2g}. Its ranges were measured on {calibration['windows']:,} training windows{people}, in which every class "
        "of every person has its share; weights have a scale for each output channel and 7 bits, so that no processor overflows."
    )


def _microcontroller(content: Mapping[str, Any]) -> str:
    size = content["size"]
    return (
        f"Converters start from these files. The int8 file is plain ONNX (standard operators of set {content['opset']}, with "
        "QuantizeLinear and DequantizeLinear around them), which is for tools that take quantised ONNX, as those of some makers of "
        "chips do. Where a tool quantises by itself, as those for LiteRT and ExecuTorch do, give it the float32 file and some training "
        "windows of every person to measure ranges on.\n\n"
        f"The device needs flash for the weights (about {_kib(size['parameters'])} in int8) and for the code of the runtime; memory for "
        f"the activations (about {_kib(size['peak_values'])} in int8) and for the samples of one window; and time for "
        f"{size['macs'] / 1e6:.2f} million multiply-accumulates a window. No device was measured here: compare what it says with what "
        "the int8 file says of the same windows before it is trusted."
    )


def _limits(content: Mapping[str, Any]) -> str:
    data, contract = content["data"], content["contract"]
    scores = content["scores"]["f1_by_class"]
    worst = min(scores, key=scores.__getitem__)
    place = f" worn at the {data['place']}" if data["place"] and " " not in data["place"] else ""
    people = f"{data['train_subjects']} people" if data["train_subjects"] else "people who are not known"
    points = (
        f"For telling {_listed(contract['classes'])} apart, with sensors as those of {data['name']}{place}.",
        "Every window gets one of these classes, whatever it holds; the score under *What it answers* is the only hint at something "
        "else.",
        f"It learnt from {people}. How it does for others, who are older, younger or ill, for another device or another place "
        "on the body was not measured.",
        f"Its weakest class is {_line(worst)}, with an F1 of {100 * scores[worst]:.1f} %.",
        "Not for decisions on health or safety.",
        f"The licence of the data ({data['licence'] or UNKNOWN}) may bind whoever uses a model that learnt from them.",
    )
    return "\n".join(f"- {point}" for point in points)
