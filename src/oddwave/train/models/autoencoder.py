"""AutoEncoder: squeeze each channel's window through a narrow layer and back.

Source: Hinton & Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 313, 2006.
Here one network over time serves all channels; the window's mean is taken off before and given back after,
so that the narrow layer holds the shape, not the level; cells are hidden in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from oddwave.config import Section
from oddwave.train import plan
from oddwave.train.models._layers import ScaledError

NAME = "AutoEncoder_ad"
Plan = plan.Plan


class Settings(Section, frozen=True):
    """Options of the autoencoder."""

    outer_part: Annotated[
        int, Meta(ge=1, description="The outer hidden layers have one unit for so many rows of the window.")
    ] = 3
    narrow_part: Annotated[int, Meta(ge=1, description="The narrow layer has one unit for so many rows.")] = 6
    input_clip: Annotated[
        float, Meta(gt=0, description="Largest deviation that the network reads; errors aren't cut.")
    ] = 10.0


class Model(nn.Module):
    """Reconstruct each channel from its mean and a few numbers."""

    def __init__(self, settings: Settings, size: int, channels: int) -> None:
        del channels  # all share the layers
        super().__init__()
        outer, narrow = max(1, size // settings.outer_part), max(1, size // settings.narrow_part)
        self.clip = settings.input_clip
        widths = [size, outer, narrow, outer, size]
        first, *others = (nn.Linear(before, after) for before, after in pairwise(widths))
        self.layers = nn.Sequential(first, *(part for layer in others for part in (nn.ReLU(), layer)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, size, channel) to the same shape."""
        first, *others = (layer for layer in self.layers if isinstance(layer, nn.Linear))
        size, channels = x.shape[1:]
        rows = x.clamp(-self.clip, self.clip).transpose(1, 2).reshape(-1, size)  # the layers mix time, not channels
        without_mean = first.weight - first.weight.mean(dim=1, keepdim=True)  # less work than to take it off the rows
        y = functional.linear(rows, without_mean, first.bias)
        for layer in others:
            y = layer(torch.relu(y))
        y = y + rows.mean(dim=1, keepdim=True)
        return y.view(-1, channels, size).transpose(1, 2)

    def folded(self, center: Tensor, scale: Tensor, usual_error: Tensor) -> nn.Module:
        """Fold the window's mean into the layers."""
        return FoldedError(self, center, scale, usual_error)


class FoldedError(ScaledError):
    """What `Scored` computes, for the autoencoder, as matrix products from the left.

    Nothing is transposed and each window is a product of its own: its errors are the same to the bit in a
    batch of any size (with ONNX Runtime's mean over time they would not be). The mean m travels beside the
    hidden units as relu(m) and relu(-m); one more unit is always 1 and carries the last layer's bias.
    """

    def __init__(self, model: Model, center: Tensor, scale: Tensor, usual_error: Tensor) -> None:
        layers = _with_mean([_weights(layer) for layer in model.layers if isinstance(layer, nn.Linear)])
        super().__init__(len(layers[-1][0]), center, scale, usual_error)
        self.clip = model.clip
        self.depth = len(layers)
        for i, (weight, bias) in enumerate(layers):
            self.register_buffer(f"weight{i}", weight.float())
            self.register_buffer(f"bias{i}", bias.float()[:, None])
        self.register_buffer("row", torch.ones(1, len(center)))

    def forward(self, window: Tensor) -> Tensor:
        """Map raw windows (batch, size, channel) to errors of the same shape."""
        row = self.get_buffer("row")
        z = self.scaled(window)
        y = z.clamp(-self.clip, self.clip)
        for i in range(self.depth - 1):
            y = torch.matmul(self.get_buffer(f"weight{i}"), y) + self.get_buffer(f"bias{i}") * row
            y = torch.relu(y)
        y = torch.matmul(self.get_buffer(f"weight{self.depth - 1}"), y)
        return self.error(z, y)


def _weights(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight.detach().double(), layer.bias.detach().double()


def _with_mean(layers: Sequence[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Give each hidden layer the units relu(m), relu(-m) and 1; the last layer's bias is then 0."""
    (first, first_bias), *inner, (last, last_bias) = layers
    size = first.shape[1]
    mean = first.new_full((1, size), 1 / size)
    column = first.new_ones(size, 1)
    one = first.new_tensor([0, 0, 1])
    without_mean = first - first.sum(dim=1, keepdim=True) * mean
    out = [(torch.cat([without_mean, mean, -mean, 0 * mean]), torch.cat([first_bias, one]))]
    for weight, bias in inner:
        passed_on = weight.new_zeros(len(weight) + 3, weight.shape[1] + 3)
        passed_on[:-3, :-3] = weight
        passed_on[-3, -3] = passed_on[-2, -2] = 1
        out.append((passed_on, torch.cat([bias, one])))
    return [*out, (torch.cat([last, column, -column, last_bias[:, None]], dim=1), 0 * last_bias)]
