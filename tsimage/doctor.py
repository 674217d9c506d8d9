"""What is installed, which devices there are, how much disk is free, and which data sets are here."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tsimage
from tsimage.catalogue import ENTRIES
from tsimage.locating import DATA_VARIABLE, cache_folder, locate
from tsimage.unfinished import in_words

LITTLE_DISK = 2 * 10**9
"""Bytes below which advice is given: an image store of 16,292 windows of 3 channels in 64 x 64 takes 0.8 GB."""
PATIENCE_S = 60.0
_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "numba", "pyts", "torch", "torchvision")
_TORCH = """
import json, torch, numpy as np
from tsimage.vision import grid
found = {"cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
         "mps": torch.backends.mps.is_available(), "pair": ""}
try:
    grid(np.zeros((1, 3, 2, 2), np.float32), 1)
except Exception as error:
    found["pair"] = str(error)
print(json.dumps(found))
"""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at: what, how it is, and what to do about it (empty if nothing)."""

    what: str
    state: str
    advice: str = ""


def diagnose() -> list[Finding]:
    """Look at versions, extras, devices, disks, the cache of compiled loops, and data sets.

    torch is imported in another process, so that one that does not work cannot do harm here; that takes most of the
    time, some seconds.
    """
    command = [sys.executable, "-c", _TORCH]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as torch:
        try:
            findings = [*_versions(), *_extras(), *_disks(), _compiled(), *_data()]
            out, err = torch.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            torch.kill()
            out, err = "", f"importing it takes more than {PATIENCE_S:g} s"
        except BaseException:
            torch.kill()
            raise
    return findings + _devices(out, err)


def lines(findings: list[Finding] | None = None) -> list[str]:
    """Write findings one to a line, for files and pipes.

    >>> lines([Finding(what="numpy", state="2.2.0"), Finding(what="zarr", state="absent", advice="pip install zarr")])
    ['numpy: 2.2.0', 'zarr: absent; pip install zarr']
    """
    return [
        f"{f.what}: {f.state}" + (f"; {f.advice}" if f.advice else "")
        for f in (diagnose() if findings is None else findings)
    ]


def _versions() -> Iterator[Finding]:
    yield Finding(what="python", state=f"{platform.python_version()} ({platform.system()} {platform.machine()})")
    yield Finding(what="tsimage", state=tsimage.__version__)
    for name in _PACKAGES:
        version = _version(name)
        yield Finding(what=name, state=version or "absent", advice="" if version else f"pip install {name}")


def _extras() -> Iterator[Finding]:
    """Yield the optional parts of this package, as its metadata lists them, without those for its developers."""
    try:
        metadata = importlib.metadata.metadata("tsimage")
    except importlib.metadata.PackageNotFoundError:
        return
    needed = metadata.get_all("Requires-Dist") or []
    for extra in sorted(set(metadata.get_all("Provides-Extra") or []) - {"test", "dev"}):
        own = [line for line in needed if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", line)]
        names = [match[0] for line in own if (match := re.match(r"[A-Za-z0-9._-]+", line)) and match[0] != "tsimage"]
        absent = [name for name in names if _version(name) is None]
        if names:
            yield Finding(
                what=f"extra {extra}",
                state=f"without {', '.join(absent)}" if absent else ", ".join(f"{n} {_version(n)}" for n in names),
                advice=f"pip install 'tsimage[{extra}]'" if absent else "",
            )


def _disks() -> Iterator[Finding]:
    for what, folder in (("disk here", Path.cwd()), ("disk of the cache", cache_folder())):
        there = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(there).free
        yield Finding(
            what=what,
            state=f"{in_words(free)} free in '{folder}'",
            advice="make room, or work on another disk" if free < LITTLE_DISK else "",
        )


def _compiled() -> Finding:
    """Tell where numba keeps the compiled loops: as it does, beside the module if that is writable, else in a cache."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else Path(__file__).parent / "__pycache__"
    if not chosen and not _writable(folder):
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"
    if _writable(folder):
        return Finding(what="compiled loops", state=f"kept in '{folder}'")
    return Finding(
        what="compiled loops",
        state=f"cannot be kept in '{folder}', so that every start compiles them anew",
        advice="set NUMBA_CACHE_DIR to a folder that may be written",
    )


def _writable(folder: Path) -> bool:
    there = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False


def _data() -> Iterator[Finding]:
    named = os.environ.get(DATA_VARIABLE)
    if not named:
        yield Finding(what=DATA_VARIABLE, state="not set", advice="set it to a folder of data sets, if there is one")
    elif not Path(named).is_dir():
        yield Finding(what=DATA_VARIABLE, state=f"'{named}' is no folder", advice="set it to a folder of data sets")
    else:
        yield Finding(what=DATA_VARIABLE, state=f"'{named}'")
    here = [name for name, entry in ENTRIES.items() if not entry.formats or locate(entry)]
    absent = len(ENTRIES) - len(here)
    advice = f"{absent} more: tsimage datasets lists them, tsimage fetch NAME gets one" if absent else ""
    yield Finding(what="data sets here", state=", ".join(here), advice=advice)


def _devices(out: str, err: str) -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpu = Finding(what="cpu", state=f"{cores} cores may be used")
    try:
        found = json.loads(out.splitlines()[-1])
    except (ValueError, IndexError):
        reason = (err.strip().splitlines() or ["it ends without a word"])[-1]
        return [
            cpu,
            Finding(what="torch works", state=f"no: {reason}", advice="pip install --upgrade torch torchvision"),
        ]
    pair = Finding(what="torch and torchvision", state="fit" if not found["pair"] else f"do not fit: {found['pair']}")
    cuda = [Finding(what=f"cuda:{i}", state=name) for i, name in enumerate(found["cuda"])]
    cuda = cuda or [Finding(what="cuda", state="not there")]
    return [cpu, *cuda, Finding(what="mps", state="there" if found["mps"] else "not there"), pair]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
