"""Images as a folder of PNG in the layout of `torchvision.datasets.ImageFolder`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tsimage import atomic
from tsimage.chunks import Chunk, chunks_of, image_bytes, paint
from tsimage.errors import UserError
from tsimage.imager import Imager
from tsimage.manifest import describe, write_labels
from tsimage.windows import Windows

IMAGES_JSON, LABELS = "images.json", "labels.csv"
_LONGEST_NAME = 100
_DISK_BLOCK = 4096
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{device}{i}" for device in ("COM", "LPT") for i in range(1, 10))}


def write_png_folder(made: Path, windows: Windows, imager: Imager, on_written: Callable[[Chunk], None]) -> None:
    from PIL import Image

    trees = _trees(windows, imager)
    classes = _file_names(windows.class_names)
    names = _file_names(windows.ids.tolist())
    parts = [""] * len(windows) if windows.split is None else [f"{part}/" for part in windows.split.tolist()]
    files = [
        f"{part}{classes[label]}/{name}.png" for part, label, name in zip(parts, windows.labels, names, strict=True)
    ]
    roots = [made / folder for folder in trees]
    for folder in {(root / file).parent for root in roots for file in set(files)}:
        folder.mkdir(parents=True, exist_ok=True)

    def write(chunk: Chunk, images: np.ndarray) -> None:
        for root, channels in zip(roots, trees.values(), strict=True):
            for file, image in zip(files[chunk.start : chunk.stop], images[:, channels], strict=True):
                pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
                Image.fromarray(pixels).save(root / file, format="png")

    paint(windows, imager, chunks_of(len(windows), image_bytes(windows, imager)), write, on_written)
    write_labels(made / LABELS, windows, windows.ranges(), extra={"file": files})
    atomic.write_json(made / IMAGES_JSON, {"png": 1, "trees": list(trees), **describe(windows, imager)})
    if hasattr(os, "sync"):
        os.sync()  # one call for all files, instead of one fsync for each


def png_imager(windows: Windows, imager: Imager) -> Imager:
    if imager.dtype not in ("float32", "uint8"):
        raise UserError(f"dtype {imager.dtype} is not allowed for PNG: these hold 8 bits; leave it out or give uint8")
    for cannot, why in (
        ([f"the image {label}" for label in imager.without_range(windows.units)], "has no known range"),
        (["constant-series nan"] if imager.constant_series == "nan" else [], "is no number"),
        (["missing 'mask'"] if windows.has_missing() else [], "leaves pixels without a number"),
    ):
        if cannot:
            raise UserError(f"{cannot[0]} {why}, and PNG holds 8 bits: choose another format: store, npz or zarr")
    _trees(windows, imager)
    coded = replace(imager, dtype="uint8")
    coded.models.update(imager.models)
    return coded


def _trees(windows: Windows, imager: Imager) -> dict[str, list[int]]:
    """Return the image channels of each tree of PNG by its folder, which is the output itself for a single field."""
    names = imager.channel_names(windows.channels)
    fields: dict[str, range] = {}
    first = 0
    for layer in imager.layers:
        fields[layer.label] = range(first, first + (1 if layer.field.joint else len(windows.channels)))
        first = fields[layer.label].stop
    for field, channels in fields.items():
        if len(channels) not in (1, 3):
            raise UserError(
                f"{field} has {len(channels)} image channels ({', '.join(names[i] for i in channels)}) but a PNG holds 1 "
                "(grey) or 3 (RGB): choose channels (option channels), or another format: store, npz or zarr"
            )
    folders = _file_names(fields) if len(fields) > 1 else [""]
    return dict(zip(folders, map(list, fields.values()), strict=True))


def _file_names(names: Iterable[str]) -> list[str]:
    """Make names that every file system takes, each once: letters, digits, `.`, `-` and `_`, never a leading dot.

    >>> _file_names(["ann/1:0-64", "ann_1:0-64", "..", ""])
    ['ann_1_0-64', 'ann_1_0-64~2', '_', '_~2']
    """
    taken: dict[str, int] = {}
    safe = []
    for name in names:
        plain = "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "_" for c in name)
        plain = plain.strip(".")[:_LONGEST_NAME] or "_"
        if plain.partition(".")[0].upper() in _RESERVED:
            plain = f"_{plain}"
        # file systems that do not tell case apart would take two names for one
        taken[plain.lower()] = count = taken.get(plain.lower(), 0) + 1
        safe.append(plain if count == 1 else f"{plain}~{count}")
    return safe


def is_png_folder(path: Path) -> bool:
    try:
        content = json.loads((path / IMAGES_JSON).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"png", "recipe_sha256", "shape"} <= set(content)


def png_folder_bytes(windows: Windows, imager: Imager) -> int:
    """At most: the pixels hardly ever grow, and every file takes whole blocks of the disk."""
    trees = _trees(windows, imager)
    pixels = [len(channels) * imager.size**2 for channels in trees.values()]
    return len(windows) * sum(-(-n // _DISK_BLOCK) * _DISK_BLOCK for n in pixels)
