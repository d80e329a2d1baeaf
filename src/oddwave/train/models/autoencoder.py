"""AutoEncoder: squeeze each channel's window through a narrow layer and back.

Source: Hinton & Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 313, 2006.
Here one network over time serves all channels; the window's mean is taken off before and given back after,
so that the narrow layer holds the shape, not the level; cells are hidden in training.
"""

from __future__ import annotations

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
    """What `Scored` computes, for the autoencoder: channels are rows, and layers are products with fixed matrices.

    ONNX Runtime lays these out once, when it loads the file, adds biases and cuts at 0 as it goes; each row is a sum of
    its own, the same to the bit in a batch of any size (the mean over time, before channels are rows, would not be).
    """

    def __init__(self, model: Model, center: Tensor, scale: Tensor, usual_error: Tensor) -> None:
        layers = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
        super().__init__(len(layers[-1].weight), center, scale, usual_error)
        self.clip = model.clip
        self.depth = len(layers)
        for i, layer in enumerate(layers):
            weight = layer.weight.detach().double()
            if i == 0:
                weight = weight - weight.mean(dim=1, keepdim=True)  # takes the window's mean off
            self.register_buffer(f"weight{i}", weight.T.float().contiguous())
            self.register_buffer(f"bias{i}", layer.bias.detach())

    def forward(self, window: Tensor) -> Tensor:
        """Map raw windows (batch, size, channel) to errors of the same shape."""
        size, channels = window.shape[1:]
        rows = self.scaled(window).transpose(1, 2).reshape(-1, size)
        seen = rows.clamp(-self.clip, self.clip)
        y = self._layer(0, seen)
        for i in range(1, self.depth):
            y = self._layer(i, torch.relu(y))
        error = rows - (y + seen.mean(dim=1, keepdim=True))
        return self.in_units(error.reshape(-1, channels, size).transpose(1, 2))

    def _layer(self, i: int, rows: Tensor) -> Tensor:
        return torch.matmul(rows, self.get_buffer(f"weight{i}")) + self.get_buffer(f"bias{i}")
