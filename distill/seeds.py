"""Random numbers by what they are for: no two uses share a stream, and none depends on what was drawn before."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import TypeVar

import torch

Built = TypeVar("Built")
_stream = threading.RLock()


def random_seed(*parts: object) -> int:
    """Derive a 63-bit seed from what it is for.

    Examples
    --------
    >>> random_seed(0, "init", "student") == random_seed(0, "init", "student") != random_seed(1, "init", "student")
    True
    """
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def initialised(build: Callable[[], Built], seed: int, role: str) -> Built:
    """Build what holds networks, whose first weights come from (seed, role); global random state is untouched.

    Threads that build at once wait for each other, since the random state that torch fills weights from is common to them.
    """
    with _stream, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(random_seed(seed, "init", role))  # networks are built on the CPU
        return build()
