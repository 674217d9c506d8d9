"""What, besides a run and its data, decides its numbers."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

import numpy as np
import torch

import tsimage
from distill.device import describe


def environment_of(device: torch.device, precision: str) -> dict[str, str]:
    """Return code, libraries, device and precision."""
    return {
        "tsimage": tsimage.__version__,
        "code_sha256": code_sha256(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device_type": device.type,
        "device": describe(device),
        "precision": precision,
    }


@cache
def code_sha256() -> str:
    """Return the sha256 of the sources of both packages, so that a result says which code made it."""
    digest = hashlib.sha256()
    for package in (Path(tsimage.__file__).parent, Path(__file__).parent):
        for source in sorted(package.rglob("*.py")):
            digest.update(source.relative_to(package.parent).as_posix().encode() + source.read_bytes())
    return digest.hexdigest()
