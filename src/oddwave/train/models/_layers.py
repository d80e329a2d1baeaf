"""What several models share: instance normalisation, and scaling and error of a folded module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EPSILON = 1e-5
_LARGEST = 1e6  # deviations that are read: their squares are float32 numbers still


class InstanceNorm(nn.Module):
    """Take each window's own mean and deviation off, and give them back.

    Source: Kim et al., "Reversible Instance Normalization for Accurate Time-Series Forecasting against Distribution
    Shift", ICLR 2022, without its learned scale. Changed here: a deviation larger than that of the training windows
    it observed is given back only up to that, so that a larger amplitude stays in the error, which the original
    hides. The mean is given back whole: levels drift far in normal operation, by 60 deviations on some development
    series, and an error for each such window cost up to .16 in VUS-PR. The score's terms of distance and spread
    show where a level changes. Window by window; no number depends on the batch.
    """

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("average", torch.full((1, size), 1 / size))
        self.register_buffer("largest", torch.full((1, channels), torch.inf))

    @torch.no_grad()
    def observe(self, windows: Tensor) -> None:
        """Take the largest deviation of each channel from training windows (window, size, channel)."""
        self.register_buffer("largest", self(windows)[2].amax(dim=0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the normalised windows (batch, size, channel), and their means and deviations (batch, 1, channel).

        The mean is a product from the left, whose last digits don't depend on the batch; ONNX Runtime's mean over
        the middle axis would.
        """
        centered, mean, deviation = self.moments(x)
        return centered / deviation, mean, deviation

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return windows without their means, their means, and their deviations."""
        average = self.get_buffer("average")
        x = x.clamp(-_LARGEST, _LARGEST)
        mean = torch.matmul(average, x)
        left = torch.matmul(average, x - mean)  # by rounding; over a still channel's deviation it would be much
        mean, centered = mean + left, x - mean - left
        return centered, mean, torch.sqrt(torch.matmul(average, centered.square()) + _EPSILON)

    def back(self, y: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Give mean and deviation back to normalised windows, the deviation up to the largest in training."""
        return y * torch.minimum(deviation, self.get_buffer("largest")) + mean


class ScaledError(nn.Module):
    """Base of the modules that `folded` returns: scaling and error, as `Scored` has them.

    The constants become as large as a window, once, when a file is loaded: quicker than a row for each window.
    """

    def __init__(self, size: int, center: Tensor, scale: Tensor, usual_error: Tensor) -> None:
        super().__init__()
        self.register_buffer("column", torch.ones(size, 1))
        self.register_buffer("center", center)
        self.register_buffer("per_scale", 1 / scale)
        self.register_buffer("per_error", 1 / usual_error)

    def scaled(self, window: Tensor) -> Tensor:
        """Map raw windows (batch, size, channel) to scaled ones."""
        column = self.get_buffer("column")
        return (window - column * self.get_buffer("center")) * (column * self.get_buffer("per_scale"))

    def error(self, z: Tensor, y: Tensor) -> Tensor:
        """Return the error of scaled windows z and their reconstructions y."""
        return self.in_units(z - y)

    def in_units(self, error: Tensor) -> Tensor:
        """Return errors without their signs, each channel's in units of its usual error."""
        return (error * (self.get_buffer("column") * self.get_buffer("per_error"))).abs()


def gelu(x: Tensor) -> Tensor:
    """Return GELU in the order of operations that ONNX Runtime knows and computes in one go."""
    return x * (torch.erf(x / 2**0.5) + 1) * 0.5
