"""Windows from an `.npz` file: the format that `Windows.save` writes, or plain `X` and `y` arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tsimage.errors import UserError
from tsimage.readers import Reader, ReadOptions
from tsimage.windows import Windows

_NAMES = {
    "values": ("values", "X"),
    "labels": ("labels", "y"),
    "subjects": ("subjects", "subject", "groups"),
}


def read_npz(path: Path, options: ReadOptions) -> Windows:
    """Read windows from `values` or `X` (window, channel, time) and `labels` or `y` (window,).

    Optional keys: `subjects` (or `subject`, `groups`), `recordings`, `start`, `stop`, `ids`, `split`
    (train/test), `channels`, `units`, `class_names`, `rate_hz`, `name`. Labels may be text or whole numbers.
    The options `units` and `rate` state what the file leaves out.

    Raises
    ------
    UserError
        If the file is damaged, holds Python objects (windows of unequal length), or lacks values or labels.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if "allow_pickle" in str(error):
            raise UserError(
                f"{path}: an array holds Python objects, as windows of unequal length do: store windows of one length "
                "as one array (window, channel, time)"
            ) from error
        raise UserError(f"{path}: not a readable .npz file ({error}): write it anew with numpy.savez") from error

    def first(key: str) -> np.ndarray | None:
        return next((arrays[k] for k in _NAMES.get(key, (key,)) if k in arrays), None)

    values, labels = first("values"), first("labels")
    if values is None or labels is None:
        missing = "values (or X)" if values is None else "labels (or y)"
        raise UserError(f"{path}: there is no array {missing}: it holds {', '.join(sorted(arrays)) or 'nothing'}")
    if values.ndim == 2:
        values = values[:, None, :]
    if values.ndim != 3 or values.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: values of shape {values.shape} and type {values.dtype} are no windows: "
            "give numbers of shape (window, channel, time)"
        )
    n, n_channels, length = values.shape
    if labels.shape != (n,):
        raise UserError(f"{path}: {n} windows but labels of shape {labels.shape}: give one label per window")
    codes, class_names = _classes(path, labels, first("class_names"))

    def per_window(key: str, default: np.ndarray) -> np.ndarray:
        found = first(key)
        if found is None:
            return default
        if found.shape != (n,):
            raise UserError(f"{path}: {key} has shape {found.shape} beside {n} windows: give one entry per window")
        return found.astype(default.dtype if default.dtype.kind == "i" else str)

    numbered = np.array([f"window{i:06d}" for i in range(n)])
    recordings = per_window("recordings", numbered)
    start = per_window("start", np.zeros(n, dtype=np.int64))
    stop = per_window("stop", start + length)
    channels, units = first("channels"), first("units")
    rate = first("rate_hz")
    return Windows(
        values=values.astype(np.float32),
        channels=tuple(f"channel{i}" for i in range(n_channels)) if channels is None else tuple(channels.tolist()),
        units=options.units_for(n_channels, None if units is None else tuple(units.tolist())),
        rate_hz=options.rate or (None if rate is None else float(rate)),
        labels=codes,
        class_names=class_names,
        subjects=per_window("subjects", np.full(n, "")),
        recordings=recordings,
        start=start,
        stop=stop,
        ids=per_window("ids", np.array([f"{r}:{a}-{b}" for r, a, b in zip(recordings, start, stop, strict=True)])),
        split=None if first("split") is None else per_window("split", numbered),
        name=path.stem if first("name") is None else str(first("name")),
    )


def _classes(path: Path, labels: np.ndarray, names: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...]]:
    missing = labels == "" if labels.dtype.kind in "US" else ~np.isfinite(labels.astype(np.float64))
    if missing.any():
        raise UserError(
            f"{path}: window {int(np.argmax(missing))} has no label ({int(missing.sum())} of {len(labels)} windows have "
            "none): label these windows or leave them out"
        )
    if names is not None and labels.dtype.kind in "iu":
        return labels.astype(np.int64), tuple(names.tolist())
    found, codes = np.unique(labels, return_inverse=True)
    return codes.astype(np.int64), tuple(str(int(v)) if labels.dtype.kind == "f" else str(v) for v in found)


READER = Reader(
    name="npz",
    accepts=lambda path: path.is_file() and path.suffix == ".npz",
    read=read_npz,
    options=frozenset({"units", "rate"}),
)
