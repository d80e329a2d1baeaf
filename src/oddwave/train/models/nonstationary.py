"""Nonstationary: a transformer over a window's rows; its attention knows what the normalisation took off.

Source: Liu et al., "Non-stationary Transformers: Exploring the Stationarity in Time Series Forecasting",
NeurIPS 2022, arXiv:2205.14415. Changed here:

- The target is the window itself, and cells are hidden in training.
- An amplitude beyond those of training is not given back whole (see `InstanceNorm`), nor read whole: the channel is
  read as so much quieter. A broken channel would mislead all others through the layers that they share, and one
  that never moved in training has untrained weights. The projectors read values within the range of the training
  rows: exp(tau) of an outage would be anything.
- One projector gives tau and Delta, where the paper has two with the same inputs but for mean or deviation; log tau
  is at most 3 either way. The window's summary weighs rows alone: channels have no neighbours.
- Rows are embedded with the ones beside them, as in the paper, but the window doesn't wrap round at its ends.
- Attention has no biases: the key's would change nothing, the others little beside the LayerNorms' own shifts.
  There is no second LayerNorm after the last layer's.
"""

from __future__ import annotations

import copy
import math
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from oddwave.config import Section
from oddwave.train import plan
from oddwave.train.models._layers import InstanceNorm, ScaledError

NAME = "Nonstationary_ad"

_LARGEST_LOG_SCALE = 3.0
_WIDEST = 10.0  # deviations that the projectors read


class Plan(plan.Plan, frozen=True):
    """How Nonstationary is trained: a window takes long, so there are few, and few in a step."""

    epochs: Annotated[int, Meta(ge=1, le=10_000, description="Most epochs to train.")] = 10
    epoch_windows: Annotated[int, Meta(ge=1, description="Windows drawn an epoch.")] = 1024
    batch_size: Annotated[int, Meta(ge=1, le=65_536, description="Windows a step.")] = 32
    learning_rate: Annotated[float, Meta(gt=0, description="Adam's first step size; it falls along a cosine to 0.")] = (
        0.003
    )


class Settings(Section, frozen=True):
    """Options of the non-stationary transformer."""

    layers: Annotated[int, Meta(ge=1, le=16, description="Layers of attention and feed-forward.")] = 2
    heads: Annotated[int, Meta(ge=1, le=64, description="Heads of an attention.")] = 4
    head_width: Annotated[int, Meta(ge=1, le=4096, description="Numbers a head has for each row.")] = 16
    hidden: Annotated[int, Meta(ge=1, le=4096, description="Hidden units of a feed-forward network.")] = 64
    projector: Annotated[int, Meta(ge=1, le=4096, description="Units of both hidden layers of a projector.")] = 32


class Model(nn.Module):
    """Reconstruct a window from how its rows relate."""

    def __init__(self, settings: Settings, size: int, channels: int) -> None:
        super().__init__()
        width = settings.heads * settings.head_width
        self.register_buffer("lowest", torch.full((1, channels), -_WIDEST))
        self.register_buffer("highest", torch.full((1, channels), _WIDEST))
        self.norm = InstanceNorm(size, channels)
        self.projector = Projector(size, channels, settings.projector)
        self.embed = nn.Conv1d(channels, width, kernel_size=3, padding=1)
        self.out = nn.Linear(width, channels)
        self.layers = nn.ModuleList(Layer(settings.heads, width, settings.hidden) for _ in range(settings.layers))
        self.register_buffer("position", position(size, width))

    def observe(self, windows: Tensor) -> None:
        """Take the range of values and the largest deviations from training windows (window, size, channel)."""
        self.register_buffer("lowest", windows.amin(dim=(0, 1))[None].clamp(min=-_WIDEST))
        self.register_buffer("highest", windows.amax(dim=(0, 1))[None].clamp(max=_WIDEST))
        self.norm.observe(windows)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, size, channel) to the same shape."""
        steady, mean, deviation = self.norm(x)
        known = torch.minimum(deviation, self.norm.get_buffer("largest"))
        scale, shift = self.projector(self._within(x), self._within(mean), known)
        steady = steady * (known / deviation)
        y = self.embed(steady.transpose(1, 2)).transpose(1, 2) + self.get_buffer("position")
        for layer in self.layers:
            y = layer(y, scale, shift)
        return self.norm.back(self.out(y), mean, deviation)

    def folded(self, center: Tensor, scale: Tensor, usual_error: Tensor) -> nn.Module:
        """Compute the layers in ONNX Runtime's way."""
        return FoldedError(self, center, scale, usual_error)

    def _within(self, x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x, self.get_buffer("lowest")), self.get_buffer("highest"))


class Layer(nn.Module):
    """De-stationary attention and a feed-forward network, each followed by a sum and a LayerNorm."""

    def __init__(self, heads: int, width: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.joined = nn.Linear(width, width, bias=False)
        self.wide = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Map (batch, size, width) to the same shape."""
        _, size, width = y.shape
        part = width // self.heads
        weights = torch.cat([self.query.weight * part**-0.5, self.key.weight, self.value.weight])
        all_parts = functional.linear(y, weights).view(-1, size, 3, self.heads, part).permute(2, 0, 3, 1, 4)
        query, key, value = all_parts.unbind()  # each (batch, head, size, part)
        relations = torch.matmul(query * scale[..., None], key.transpose(2, 3)) + shift
        joined = torch.matmul(relations.softmax(dim=3), value).transpose(1, 2).reshape(-1, size, width)
        y = self.first_norm(y + self.joined(joined))
        out: Tensor = self.second_norm(y + self.narrow(torch.relu(self.wide(y))))
        return out


class ByColumns(nn.Module):
    """What `Layer` computes, as products from the left: each window is one of its own.

    In ONNX Runtime its last digits then don't depend on the batch; in training it takes half as long again.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Map (batch, size, width) to the same shape."""
        layer, heads = self.layer, self.layer.heads
        size, width = y.shape[1:]
        part = width // heads
        columns = y.transpose(1, 2)  # (batch, width, size)
        query = torch.matmul(layer.query.weight * part**-0.5, columns) * scale
        key, value = (torch.matmul(each.weight, columns) for each in (layer.key, layer.value))
        query, key, value = (item.reshape(-1, heads, part, size) for item in (query, key, value))
        weights = torch.softmax(torch.matmul(query.transpose(2, 3), key) + shift, dim=3)
        joined = torch.matmul(value, weights.transpose(2, 3)).reshape(-1, width, size)
        y = layer.first_norm(y + torch.matmul(joined.transpose(1, 2), layer.joined.weight.T))
        wide = torch.relu(torch.matmul(layer.wide.weight, y.transpose(1, 2)) + layer.wide.bias[:, None])
        narrow = torch.matmul(wide.transpose(1, 2), layer.narrow.weight.T) + layer.narrow.bias
        out: Tensor = layer.second_norm(y + narrow)
        return out


class FoldedError(ScaledError):
    """What `Scored` computes, for Nonstationary, layer by layer from the left."""

    def __init__(self, model: Model, center: Tensor, scale: Tensor, usual_error: Tensor) -> None:
        super().__init__(len(model.get_buffer("position")), center, scale, usual_error)
        self.model = copy.deepcopy(model)
        self.model.layers = nn.ModuleList(ByColumns(layer) for layer in model.layers if isinstance(layer, Layer))

    def forward(self, window: Tensor) -> Tensor:
        """Map raw windows (batch, size, channel) to errors of the same shape."""
        z = self.scaled(window)
        return self.error(z, self.model(z))


class Projector(nn.Module):
    """Tell attention what the normalisation took off: a window's scale tau and its rows' shifts Delta."""

    def __init__(self, size: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.summary = nn.Linear(size, 1, bias=False)
        self.first = nn.Linear(3 * channels, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.scale = nn.Linear(hidden, 1, bias=False)
        self.shift = nn.Linear(hidden, size, bias=False)

    def forward(self, x: Tensor, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        """Return tau (batch, 1, 1) and Delta (batch, 1, 1, size)."""
        size, channels = x.shape[1:]
        summary = torch.matmul(self.summary.weight, x)
        y = torch.cat([summary, mean, deviation], dim=1).reshape(-1, 3 * channels, 1)
        for layer in (self.first, self.second):
            y = torch.relu(torch.matmul(layer.weight, y) + layer.bias[:, None])
        scale = torch.exp(torch.matmul(self.scale.weight, y).clamp(-_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE))
        return scale, torch.matmul(self.shift.weight, y).reshape(-1, 1, 1, size)


def position(size: int, width: int) -> Tensor:
    """Return sines and cosines of the row number (size, width): Vaswani et al., 2017, arXiv:1706.03762."""
    turn = torch.arange(size)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    return torch.stack([turn.sin(), turn.cos()], dim=2).flatten(1)[:, :width]
