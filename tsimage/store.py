"""An image store on disk: a folder with `manifest.json`, `images.npy` (a memory map), `labels.csv` and `ranges.npy`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tsimage.blocks import blocks
from tsimage.errors import UserError, unknown
from tsimage.manifest import is_sealed
from tsimage.quantisation import decode
from tsimage.unfinished import in_words

if TYPE_CHECKING:
    from tsimage.torch_dataset import StoreDataset

FORMAT = 2
MANIFEST, IMAGES, LABELS, RANGES = "manifest.json", "images.npy", "labels.csv", "ranges.npy"
REPORT = "read-report.csv"
"""File, line and reason of every faulty row, where the source counts rows."""


@dataclass(frozen=True)
class ImageStore:
    """Images with their labels, read from disk as they are needed.

    Parameters
    ----------
    path : Path
        Folder that `tsimage.convert` wrote.

    Examples
    --------
    >>> import tempfile, tsimage
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = tsimage.convert("basic-motions", f"{folder}/images", tsimage.Imager(size=16))
    ...     X, y, groups = store.arrays("train")
    ...     image, label = store.dataset("test")[0]
    >>> X.shape, image.shape, store.class_names[label]
    ((40, 1536), torch.Size([6, 16, 16]), 'Standing')
    """

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Recipe and its hash, shape, names, how codes become values, what was read, and checksums of every chunk."""
        return json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))

    @cached_property
    def images(self) -> np.ndarray:
        """Memory map of shape (window, channel, height, width), read only, as stored: see `read` for values."""
        return np.load(self.path / IMAGES, mmap_mode="r", allow_pickle=False)

    @cached_property
    def ranges(self) -> np.ndarray:
        """Smallest and largest value of each series, float32, shape (window, raw channel, 2), in original units.

        Of the series as it was scaled: see `tsimage.Imager.ranges`.
        """
        return np.load(self.path / RANGES, mmap_mode="r", allow_pickle=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per image: window id, label, subject, recording, raw samples, split, constant channels, those with gaps, and quality flags."""
        text = {
            "window": str,
            "label": str,
            "subject": str,
            "recording": str,
            "split": str,
            "constant_channels": str,
            "gap_channels": str,
            "flags": str,
        }
        return pd.read_csv(self.path / LABELS, dtype=text, keep_default_na=False)

    @cached_property
    def labels(self) -> np.ndarray:
        """Class of each image as an index into `class_names`, int64, shape (window,)."""
        number = {name: i for i, name in enumerate(self.class_names)}
        return np.array([number[label] for label in self.table["label"]], dtype=np.int64)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.manifest["class_names"])

    @property
    def bounds(self) -> np.ndarray | None:
        """Values of the lowest and highest code of each image channel, shape (channel, 2); None for stored floats."""
        dequantisation = self.manifest["dequantisation"] or {}
        return np.array(dequantisation["bounds"]) if "bounds" in dequantisation else None

    def read(self, index: Any) -> np.ndarray:
        """Return images as values, float32, whatever their stored dtype.

        Parameters
        ----------
        index : int, slice, or array of positions or bool
            As for `images`.

        Returns
        -------
        ndarray of float32, shape (..., channel, height, width)
            Whole numbers as `low + (high - low) * code / levels`, which is off by at most the `largest_error` of the
            manifest; floats as they are.
        """
        images = self.images[index]
        return images.astype(np.float32) if self.bounds is None else decode(images, self.bounds)

    def series(self, index: Any) -> np.ndarray:
        """Return the series that Gramian fields were painted from, averaged to S points, in original units.

        Parameters
        ----------
        index : int, slice, or array of positions or bool
            As for `images`.

        Returns
        -------
        ndarray of float64, shape (window, raw channel, S)
            Without the first axis for an int.
            What lay outside a fixed range comes back as its end; see `tsimage.inverse` for the error.

        Raises
        ------
        UserError
            If the store holds neither a GASF on (0, 1) nor GASF and GADF both, or a sign stays open.
        """
        from tsimage.inverse import from_gasf, from_pair
        from tsimage.scaling import fixed_limits

        recipe, source = self.manifest["recipe"], self.manifest["source"]
        positions = {
            field: [i for i, name in enumerate(self.manifest["channels"]) if name.startswith(f"{field}:")]
            for field in ("gasf", "gadf")
        }
        target = tuple(recipe["target"])
        limits = fixed_limits(recipe["scaling"], source["units"])
        limits = self.ranges[index].astype(np.float64) if limits is None else limits
        images = self.read(index)
        if images.ndim == 3:
            return self.series(slice(index, index + 1 or None))[0]
        if positions["gasf"] and positions["gadf"]:
            pair = (images[:, positions[field]] for field in ("gasf", "gadf"))
            return from_pair(*pair, target=target, limits=limits)
        if positions["gasf"] and target[0] >= 0:
            return from_gasf(images[:, positions["gasf"]], target=target, limits=limits)
        raise UserError(
            f"'{self.path}' holds {', '.join(self.manifest['channels'])}: a series comes back from gasf with target 0 1, or "
            "from gasf and gadf together"
        )

    def positions(self, split: str | None = None) -> np.ndarray:
        """Return the positions of the images of one part of the data set's own split, or of all, int64.

        Raises
        ------
        UserError
            If the store has no such part.
        """
        if split is None:
            return np.arange(len(self))
        parts = self.table["split"].to_numpy()
        if split not in parts:
            known = [part for part in ("train", "test") if part in parts]
            if not known:
                raise UserError(
                    f"'{self.path}' has no split '{split}': its data set comes without parts; take all of it"
                )
            raise unknown("split", split, known)
        return np.flatnonzero(parts == split)

    def dataset(self, split: str | None = None, transform: Callable[[Any], Any] | None = None) -> StoreDataset:
        """Return the images as a torch `Dataset` of (float32 tensor of shape (channel, height, width), class number).

        Parameters
        ----------
        split : {"train", "test"}, optional
            Part of the data set's own split; by default all.
        transform : callable, optional
            Applied to each tensor.
        """
        from tsimage.torch_dataset import StoreDataset

        return StoreDataset(self, self.positions(split), transform)

    def arrays(self, split: str | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what scikit-learn takes: X, y and groups.

        Parameters
        ----------
        split : {"train", "test"}, optional
            Part of the data set's own split; by default all.

        Returns
        -------
        X : ndarray of float32, shape (image, channel * height * width)
            A memory map if the store is of float32 and the part lies in one piece, else an array in memory.
        y : ndarray of int64, shape (image,)
        groups : ndarray of str, shape (image,)
            The subject of each window; its recording where no subject is known. Keep groups whole in any split.
        """
        positions = self.positions(split)
        subjects = self.table["subject"].to_numpy(dtype=str)
        groups = (subjects if (subjects != "").any() else self.table["recording"].to_numpy(dtype=str))[positions]
        first, last = positions[0], positions[-1] + 1
        if self.images.dtype == np.float32 and last - first == len(positions):
            X = self.images[first:last].reshape(len(positions), -1)
        else:
            X = np.empty((len(positions), int(np.prod(self.images.shape[1:]))), dtype=np.float32)
            for start, some in blocks(positions, n_bytes=1 << 12):
                X[start : start + len(some)] = self.read(some).reshape(len(some), -1)
        return X, self.labels[positions], groups

    def verify(self, on_progress: Callable[[int, int], None] | None = None) -> str:
        """Read every byte and compare it with the checksums.

        Parameters
        ----------
        on_progress : callable, optional
            Receives the number of bytes of images compared and of all.

        Returns
        -------
        str
            What was verified, in one sentence.

        Raises
        ------
        DamageError
            A UserError that names all damage: files, chunks, windows and bytes.
        """
        from tsimage.verification import verify

        return verify(self.path, on_progress)

    def __len__(self) -> int:
        return len(self.images)

    def __reduce__(self) -> tuple[type[ImageStore], tuple[Path]]:
        return type(self), (self.path,)  # worker processes map the files themselves instead of receiving them

    def __str__(self) -> str:
        n, channels, height, width = self.images.shape
        size = in_words((self.path / IMAGES).stat().st_size)
        return (
            f"{self.path}: {n:,} images of {height} x {width} with {channels} channels "
            f"({', '.join(self.manifest['channels'])}), {len(self.class_names)} classes, {size}"
        )


def is_store(path: Path) -> bool:
    """Tell whether a folder is an image store: its manifest says so."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and {"format", "recipe_sha256", "shape"} <= set(manifest)


def open_store(path: str | Path) -> ImageStore:
    """Open an image store, and see that everything but the pixels is as it was written (for these, see `verify`).

    Raises
    ------
    UserError
        If the folder is no image store, or one of its files is missing, damaged or of another size.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise UserError(f"'{path}' is no image store: there is no {MANIFEST}; make one with tsimage convert")
    store = ImageStore(path)
    try:
        version = store.manifest["format"]
        if version != FORMAT:
            raise UserError(f"'{path}' has store format {version}, this version reads {FORMAT}: convert it anew")
        if not is_sealed((path / MANIFEST).read_bytes(), store.manifest):
            raise ValueError(f"{MANIFEST} is not as it was written")
        for name, entry in store.manifest["files"].items():
            size = (path / name).stat().st_size
            if size != entry["bytes"]:
                raise ValueError(f"{name} has {size:,} bytes instead of {entry['bytes']:,}")
            if "sha256" in entry and file_sha256(path / name) != entry["sha256"]:
                raise ValueError(f"{name} is not as it was written")
        if list(store.images.shape) != store.manifest["shape"]:
            raise ValueError(f"{IMAGES} has shape {store.images.shape} instead of {tuple(store.manifest['shape'])}")
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, OSError, EOFError, RecursionError) as error:
        raise UserError(f"'{path}' is damaged ({error}): convert it anew") from error
    return store


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
