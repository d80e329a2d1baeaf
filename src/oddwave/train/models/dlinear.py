"""DLinear: split a window into trend and remainder, map each with one linear layer.

Source: Zeng et al., "Are Transformers Effective for Time Series Forecasting?", AAAI 2023,
arXiv:2205.13504. Changed here: the target is the window itself, not its future; cells are hidden in training,
or else the best map would be the identity, which reconstructs every anomaly.
"""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from oddwave.config import Section
from oddwave.train import plan

NAME = "DLinear_ad"
Plan = plan.Plan


class Settings(Section, frozen=True):
    """Options of DLinear."""

    trend_reach: Annotated[int, Meta(ge=1, description="Points each side of the moving average.")] = 12


class Model(nn.Module):
    """Reconstruct a window from its trend and its remainder."""

    def __init__(self, settings: Settings, size: int, channels: int) -> None:
        del channels  # all share the layers
        super().__init__()
        self.trend = nn.Linear(size, size)
        self.remainder = nn.Linear(size, size)
        self.register_buffer("average", moving_average(size, settings.trend_reach))

    def matrix(self) -> Tensor:
        """Return the moving average A and both layers as one matrix: trend(Ax) + remainder(x - Ax)."""
        return self.remainder.weight + (self.trend.weight - self.remainder.weight) @ self.get_buffer("average")

    def bias(self) -> Tensor:
        """Return what both layers add."""
        return self.trend.bias + self.remainder.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, size, channel) to the same shape."""
        x = x.transpose(1, 2)  # (batch, channel, size): the layers mix time, not channels
        return functional.linear(x, self.matrix(), self.bias()).transpose(1, 2)

    def folded(self, center: Tensor, scale: Tensor, usual_error: Tensor) -> nn.Module:
        """Fold scaling, model and error into one matrix product."""
        return LinearError(self, center, scale, usual_error)


def moving_average(size: int, reach: int) -> Tensor:
    """Return the matrix (size, size) that averages `reach` points each side, the ends repeated outwards.

    Examples
    --------
    >>> (3 * moving_average(4, reach=1)).int().tolist()
    [[2, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 2]]
    """
    units = torch.eye(size)[:, None]  # (size, 1, size): the average of unit vector j is column j
    padded = functional.pad(units, (reach, reach), mode="replicate")
    return functional.avg_pool1d(padded, 2 * reach + 1, stride=1)[:, 0].T.contiguous()


class LinearError(nn.Module):
    """|W ((window - center) / unit) + bias|: what `Scored` computes, for a linear model.

    Channels become rows for the product, whose matrix ONNX Runtime then lays out once, when it loads the file: faster
    than with windows as they are, and each row a sum of its own, the same to the bit in a batch of any size.
    """

    def __init__(self, model: Model, center: Tensor, scale: Tensor, usual_error: Tensor) -> None:
        super().__init__()
        bias = model.bias().detach()
        matrix = torch.eye(len(bias), dtype=torch.float64) - model.matrix().detach().double()
        self.register_buffer("ones", torch.ones(len(bias), 1))  # rows become windows once, when a file is loaded
        self.register_buffer("center", center)
        self.register_buffer("per_unit", 1 / (scale * usual_error))
        self.register_buffer("per_error", 1 / usual_error[:, None])
        self.register_buffer("matrix", matrix.T.float().contiguous())
        self.register_buffer("bias", -bias)

    def forward(self, window: Tensor) -> Tensor:
        """Map raw windows (batch, size, channel) to errors of the same shape."""
        ones, bias = self.get_buffer("ones"), self.get_buffer("per_error") * self.get_buffer("bias")
        x = (window - ones * self.get_buffer("center")) * (ones * self.get_buffer("per_unit"))
        y = torch.matmul(x.transpose(1, 2), self.get_buffer("matrix")) + bias  # (batch, channel, size)
        return y.abs().transpose(1, 2)
