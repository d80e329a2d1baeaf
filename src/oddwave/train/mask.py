"""Mask: cells of a window hidden in training, for the model to fill in."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def hide(x: Tensor, share: float, span: int, random: Generator) -> tuple[Tensor, Tensor]:
    """Hide a share of the cells, in runs of `span` rows, behind the mean of their channel's other cells.

    The others' deviations from that mean are enlarged to make up for the hidden ones: a sum over the window
    is then as large as with nothing hidden. Without this the model overshoots when used on whole windows.

    Returns
    -------
    tuple
        What the model sees, and 1 for each hidden cell, else 0; both (batch, size, channel).
    """
    batch, size, channels = x.shape
    drawn = _draw(batch * -(-size // span) * channels, random)
    hidden = torch.lt(drawn, round(share * 2**16) - 2**15, out=torch.empty(drawn.shape)).view(batch, -1, channels)
    hidden = hidden.to(x.device)  # drawn on the CPU: the same ones everywhere
    if span > 1:
        hidden = hidden.repeat_interleave(span, dim=1)[:, :size]
    n_visible = (size - hidden.sum(dim=1, keepdim=True)).clamp_(min=1)
    seen = torch.addcmul(x, x, hidden, value=-1)
    mean = seen.sum(dim=1, keepdim=True) / n_visible
    seen.sub_(mean).addcmul_(mean, hidden).mul_(size / n_visible).add_(mean)  # in place: memory takes the time
    return seen, hidden


def _draw(count: int, random: Generator) -> Tensor:
    """Draw whole numbers from -2^15 up to 2^15, four at a time: three times as fast as numbers from 0 to 1."""
    fours = torch.empty(-(-count // 4), dtype=torch.int64)
    return fours.random_(-(2**63), None, generator=random).view(torch.int16)[:count]
