"""What a network shows of one batch: its logits, and what it saw on the way there."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """One pass of a network over a batch.

    Parameters
    ----------
    logits : Tensor, shape (window, class)
    maps : tuple of Tensor, each (window, channel, time) or (window, channel, height, width)
        Feature maps after each stage, the last one before pooling; empty for a network without any.
    embedding : Tensor, shape (window, feature), or None
        What the last linear layer sees.
    """

    logits: Tensor
    maps: tuple[Tensor, ...] = ()
    embedding: Tensor | None = None

    def __getitem__(self, k: int) -> Trace:
        """Return that of network k, where several networks are stacked along a first axis."""
        return Trace(
            logits=self.logits[k],
            maps=tuple(m[k] for m in self.maps),
            embedding=None if self.embedding is None else self.embedding[k],
        )

    def detach(self) -> Trace:
        """Return the same without gradients, as of a frozen teacher."""
        return Trace(
            logits=self.logits.detach(),
            maps=tuple(m.detach() for m in self.maps),
            embedding=None if self.embedding is None else self.embedding.detach(),
        )
