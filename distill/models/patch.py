"""A small transformer encoder over patches, of signals (1-D) and images (2-D).

Sources: Y. Nie et al., "A Time Series is Worth 64 Words" (PatchTST), arXiv:2211.14730, for signals, and A. Dosovitskiy
et al., "An Image is Worth 16x16 Words" (ViT), arXiv:2010.11929, for images. Unlike PatchTST, which passes each channel
through the encoder by itself, a patch here holds all channels, as in ViT: axes of one sensor belong together.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from distill.models.layers import CONV
from distill.trace import Trace
from tsimage.errors import UserError

WIDTH, HEADS, DEPTH, HIDDEN = 64, 4, 6, 128
PATCH = {1: 16, 2: 4}
STRIDE = {1: 8, 2: 4}


class Attention(nn.Module):
    """Self-attention of several heads, over tokens (window, token, feature)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        # written out: the fused kernels sum their gradients in no fixed order on CUDA, and a seed would not repeat
        weights = (query @ key.transpose(2, 3) / math.sqrt(WIDTH // HEADS)).softmax(dim=3)
        return self.out((weights @ value).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attention and a perceptron of one hidden layer, each behind a layer normalisation, its input added to each."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.perceptron = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.perceptron(self.norm2(x))


class PatchTransformer(nn.Module):
    """Six encoder layers of 64 features and 4 heads over patches, with learned positions and without dropout.

    A patch is 16 samples of a signal, each 8 samples, or 4 x 4 pixels of an image, each 4 pixels. What the last patch
    lacks repeats the last sample, so `size` gives ceil(size / 8) tokens, or ceil(size / 4) squared. For 3 channels and
    14 classes a signal of 128 samples has 206,030 parameters, an image of 32 x 32 pixels 209,102.

    Parameters
    ----------
    dims : {1, 2}
        1 for signals (window, channel, time), 2 for square images (window, channel, height, width).
    in_channels, classes : int
    size : int
        Samples of a signal, or pixels of the side of an image; a position is learned for each patch, so the network
        takes no other size.

    Examples
    --------
    >>> network = PatchTransformer(dims=1, in_channels=3, classes=14, size=128)
    >>> sum(p.numel() for p in network.parameters())
    206030
    >>> [tuple(m.shape) for m in network.trace(torch.zeros(2, 3, 128)).maps]
    [(2, 64, 16), (2, 64, 16), (2, 64, 16)]
    """

    def __init__(self, *, dims: int, in_channels: int, classes: int, size: int) -> None:
        super().__init__()
        self.size = (size,) * dims
        self.grid = (-(-size // STRIDE[dims]),) * dims
        self.missing = (self.grid[0] - 1) * STRIDE[dims] + PATCH[dims] - size
        self.embed = CONV[dims](in_channels, WIDTH, PATCH[dims], stride=STRIDE[dims])
        self.positions = nn.Parameter(torch.empty(1, math.prod(self.grid), WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, classes)
        nn.init.trunc_normal_(self.positions, std=0.02)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (window, classes)."""
        return self.trace(x).logits

    def trace(self, x: torch.Tensor) -> Trace:
        """Return logits, the tokens after each two layers as maps, and the mean of the last ones.

        A map is (window, 64, patch), or (window, 64, row, column) of an image; the last one is normalised.

        Raises
        ------
        UserError
            For an input of another size than the network was built for.
        """
        if x.shape[2:] != self.size:
            got, wanted = (" x ".join(map(str, size)) for size in (x.shape[2:], self.size))
            raise UserError(
                f"network 'patch' has learned positions for inputs of size {wanted}, but got {got}: build it with that size"
            )
        padded = F.pad(x, (0, self.missing) * len(self.size), mode="replicate")
        x = self.embed(padded).flatten(2).transpose(1, 2) + self.positions
        maps = []
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x)
            x = self.norm(x) if number == DEPTH else x
            if number % 2 == 0:
                maps.append(x.transpose(1, 2).unflatten(2, self.grid))
        embedding = x.mean(dim=1)
        return Trace(logits=self.head(embedding), maps=tuple(maps), embedding=embedding)
