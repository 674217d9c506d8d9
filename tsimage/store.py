"""An image store on disk: a folder with `manifest.json`, `images.npy` (a memory map) and `labels.csv`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsimage.errors import UserError

FORMAT = 1
MANIFEST, IMAGES, LABELS = "manifest.json", "images.npy", "labels.csv"


@dataclass(frozen=True)
class ImageStore:
    """Images with their labels, read from disk as they are needed.

    Parameters
    ----------
    path : Path
        Folder that `tsimage.convert` wrote.
    """

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Recipe and its hash, shape, channel names, class names, what was read, and checksums."""
        return json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))

    @cached_property
    def images(self) -> np.ndarray:
        """Memory map of shape (window, field*channel, height, width); read only."""
        return np.load(self.path / IMAGES, mmap_mode="r", allow_pickle=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per image: window id, label, subject, recording, raw samples, split, constant channels."""
        text = {"window": str, "label": str, "subject": str, "recording": str, "split": str, "constant_channels": str}
        return pd.read_csv(self.path / LABELS, dtype=text, keep_default_na=False)

    @property
    def labels(self) -> np.ndarray:
        """Class of each image as an index into `class_names`, int64, shape (window,)."""
        number = {name: i for i, name in enumerate(self.class_names)}
        return np.array([number[label] for label in self.table["label"]], dtype=np.int64)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.manifest["class_names"])

    def __len__(self) -> int:
        return len(self.images)

    def __str__(self) -> str:
        n, channels, height, width = self.images.shape
        size = (self.path / IMAGES).stat().st_size / 1e6
        return (
            f"{self.path}: {n:,} images of {height} x {width} with {channels} channels "
            f"({', '.join(self.manifest['channels'])}), {len(self.class_names)} classes, {size:.1f} MB"
        )


def is_store(path: Path) -> bool:
    """Tell whether a folder is an image store: its manifest says so."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"format", "recipe_sha256", "shape"} <= set(manifest)


def open_store(path: str | Path) -> ImageStore:
    """Open an image store.

    Raises
    ------
    UserError
        If the folder is no image store, or its files do not fit together.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise UserError(f"'{path}' is no image store: there is no {MANIFEST}; make one with tsimage convert")
    store = ImageStore(path)
    try:
        version, shape = store.manifest["format"], tuple(store.manifest["shape"])
        found, rows = store.images.shape, len(store.table)
    except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
        raise UserError(f"'{path}' is damaged ({error}): convert it anew") from error
    if version != FORMAT:
        raise UserError(f"'{path}' has store format {version}, this version reads {FORMAT}: convert it anew")
    if found != shape or rows != shape[0]:
        raise UserError(
            f"'{path}' is damaged: the manifest says shape {shape}, {IMAGES} has {found}, {LABELS} has {rows} rows: "
            "convert it anew"
        )
    return store
