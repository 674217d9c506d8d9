"""What is written beside images: a sealed manifest, one row per window, the range of every series."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import tsimage
from tsimage import atomic
from tsimage.chunks import image_shape
from tsimage.quality import describe as describe_flags
from tsimage.quantisation import LEVELS, largest_error

if TYPE_CHECKING:
    from tsimage.imager import Imager
    from tsimage.windows import Windows

SEAL = "manifest_sha256"
_ROWS = 4096


def describe(windows: Windows, imager: Imager) -> dict[str, Any]:
    """Return what a reader of the images must know: recipe, shape, names, how codes become values, the source."""
    return {
        "tsimage": tsimage.__version__,
        "recipe": imager.recipe(),
        "recipe_sha256": imager.hash(),
        "shape": [len(windows), *image_shape(windows, imager)],
        "dtype": imager.dtype,
        "channels": list(imager.channel_names(windows.channels)),
        "class_names": list(windows.class_names),
        "dequantisation": _dequantisation(windows, imager),
        "source": {
            "name": windows.name,
            "windows_sha256": windows.fingerprint(),
            "channels": list(windows.channels),
            "units": list(windows.units),
            "rate_hz": windows.rate_hz,
            "samples": windows.length,
            "cut": None if windows.cut_report is None else str(windows.cut_report),
            "rows": None if windows.read_report is None else windows.read_report.as_dict(),
        },
        "clipped_share": imager.clipped_share(windows),
    }


def _dequantisation(windows: Windows, imager: Imager) -> dict[str, Any] | None:
    """How stored numbers become values, and how far these can lie from the painted ones (beside float32 rounding)."""
    if imager.dtype == "float16":
        return {"formula": "value = code", "largest_relative_error": 2.0**-11}
    if imager.dtype not in LEVELS:
        return None
    bounds = imager.bounds(windows.units)
    return {
        "formula": f"value = low + (high - low) * code / {LEVELS[imager.dtype]}",
        "bounds": bounds.tolist(),
        "largest_error": largest_error(bounds, imager.dtype).tolist(),
        "beyond_bounds": "cut off at the bounds, where largest_error says nothing",
    }


def seal(content: dict[str, Any]) -> bytes:
    """Return a manifest as JSON, with the sha256 of itself without that line."""
    return _json(content | {SEAL: hashlib.sha256(_json(content)).hexdigest()})


def is_sealed(text: bytes, content: dict[str, Any]) -> bool:
    """Tell whether `text`, which was read as `content`, is to the byte what `seal` wrote."""
    return text == seal({key: value for key, value in content.items() if key != SEAL})


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def labels(windows: Windows, ranges: np.ndarray, part: slice = slice(None)) -> pd.DataFrame:
    """Return one row per window: id, label, subject, recording, raw samples, split, channels without movement and with gaps,
    and quality flags, such as `stuck(acc-x)+spike(acc-y)`."""
    names, channels = np.array(windows.class_names), np.array(windows.channels)
    constant = ranges[part, :, 0] == ranges[part, :, 1]
    return pd.DataFrame(
        {
            "window": windows.ids[part],
            "label": names[windows.labels[part]],
            "subject": windows.subjects[part],
            "recording": windows.recordings[part],
            "start": windows.start[part],
            "stop": windows.stop[part],
            "split": "" if windows.split is None else windows.split[part],
            "constant_channels": ["|".join(channels[row]) for row in constant],
            "gap_channels": "" if windows.gaps is None else ["|".join(channels[row]) for row in windows.gaps[part]],
            "flags": ""
            if windows.flags is None
            else [describe_flags(row, windows.channels) for row in windows.flags[part]],
        }
    )


def write_labels(path: Path, windows: Windows, ranges: np.ndarray, extra: dict[str, list[str]] | None = None) -> None:
    """Write the rows of `labels` as CSV, with further columns, a few thousand rows at a time."""
    with atomic.writing(path) as file:
        for start in range(0, len(windows), _ROWS):
            part = slice(start, start + _ROWS)
            rows = labels(windows, ranges, part).assign(**{k: column[part] for k, column in (extra or {}).items()})
            file.write(rows.to_csv(index=False, header=start == 0, lineterminator="\n").encode())


def labels_bytes(windows: Windows) -> int:
    """Estimate the size of the rows from the first ones."""
    few = windows.select(slice(_ROWS))
    return len(labels(few, few.ranges()).to_csv(index=False).encode()) * len(windows) // max(1, len(few))


def write_ranges(path: Path, ranges: np.ndarray) -> None:
    """Write the smallest and largest value of every series, float32 of shape (window, channel, 2), as `.npy`: see `Imager.ranges`."""
    with atomic.writing(path) as file:
        np.lib.format.write_array(file, ranges, allow_pickle=False)
