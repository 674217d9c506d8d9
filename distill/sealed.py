"""Tensors in a file that carries its own checksum, so that a flipped bit is found (safetensors alone notices none)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tsimage.errors import UserError

_DIGEST, _BYTES = "~sha256", 32


def pack(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> bytes:
    """Return a safetensors file whose last 32 bytes are the sha256 of all that stand before.

    The sum is a tensor of its own, so that the file stays one which any reader of safetensors opens; `about`, JSON, is in
    its metadata.
    """
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    held[_DIGEST] = torch.zeros(_BYTES, dtype=torch.uint8)  # the smallest type and the last name stand at the end
    content = save(held, metadata={"about": json.dumps(about)})
    if any(content[-_BYTES:]):
        raise ValueError("the checksum does not stand at the end: name no tensor of bytes after '~'")
    summed = memoryview(content)[:-_BYTES]  # a slice of bytes would be a copy
    return b"".join((summed, hashlib.sha256(summed).digest()))


def unpack(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `pack` made.

    Raises
    ------
    UserError
        If a bit of the file is not as it was written, or something else wrote it.
    """
    content = path.read_bytes()
    if hashlib.sha256(content[:-_BYTES]).digest() != content[-_BYTES:]:
        raise UserError(
            f"'{path}' is not as it was written (its sha256 differs): remove it and give the same command again"
        )
    try:
        tensors = load(content)
        header = content[8 : 8 + int.from_bytes(content[:8], "little")]
        about = json.loads(json.loads(header)["__metadata__"]["about"])
        del tensors[_DIGEST]
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"'{path}' was not written by distill: remove it and give the same command again") from error
    return tensors, about
