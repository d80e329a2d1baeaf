"""What the models with instance normalisation share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EPSILON = 1e-5


class InstanceNorm(nn.Module):
    """Take each window's own mean and deviation off, and give them back as far as training knew them.

    Source: Kim et al., "Reversible Instance Normalization for Accurate Time-Series Forecasting against Distribution
    Shift", ICLR 2022, without its learned scale. Changed here: a mean or deviation outside the range of the training
    windows is given back only up to that range, so that a level shift or a larger amplitude stays in the error, which
    the original hides. Window by window; no number depends on the batch.
    """

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("average", torch.full((1, size), 1 / size))
        self.register_buffer("lowest_mean", torch.full((1, channels), -torch.inf))
        self.register_buffer("highest_mean", torch.full((1, channels), torch.inf))
        self.register_buffer("highest_deviation", torch.full((1, channels), torch.inf))

    @torch.no_grad()
    def observe(self, windows: Tensor) -> None:
        """Take the range of means and deviations from training windows (window, size, channel)."""
        _, mean, deviation = self(windows)
        self.register_buffer("lowest_mean", mean.amin(dim=0))
        self.register_buffer("highest_mean", mean.amax(dim=0))
        self.register_buffer("highest_deviation", deviation.amax(dim=0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the normalised windows (batch, size, channel), and their means and deviations (batch, 1, channel).

        The mean is a product from the left, whose last digits don't depend on the batch; ONNX Runtime's mean over
        the middle axis would.
        """
        average = self.get_buffer("average")
        mean = torch.matmul(average, x)
        centered = x - mean
        deviation = torch.sqrt(torch.matmul(average, centered.square()) + _EPSILON)
        return centered / deviation, mean, deviation

    def back(self, y: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Give mean and deviation back to normalised windows, within the range seen in training."""
        mean = torch.minimum(torch.maximum(mean, self.get_buffer("lowest_mean")), self.get_buffer("highest_mean"))
        return y * torch.minimum(deviation, self.get_buffer("highest_deviation")) + mean
