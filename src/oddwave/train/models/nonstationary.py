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
        scale, shift = self.projector(self.within(x), self.within(mean), known)
        steady = steady * (known / deviation)
        y = self.embed(steady.transpose(1, 2)).transpose(1, 2) + self.get_buffer("position")
        for layer in self.layers:
            y = layer(y, scale, shift)
        return self.norm.back(self.out(y), mean, deviation)

    def folded(self, center: Tensor, scale: Tensor, usual_error: Tensor) -> nn.Module:
        """Compute the layers in ONNX Runtime's way."""
        return FoldedError(self, center, scale, usual_error)

    def within(self, x: Tensor) -> Tensor:
        """Return values beyond the range of the training rows as the nearest within it."""
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


class FoldedLayer(nn.Module):
    """What `Layer` computes, as ONNX Runtime does it fastest: no head is cut out of rows, nothing is added to scores.

    Queries, keys and values are columns, of which heads are blocks, and each window a product of its own; all else is
    a product of all rows. Each head has one number more for a row: 1 in queries and Delta / tau in keys, so that the
    product is the whole tau (q k) + Delta.
    """

    def __init__(self, layer: Layer, size: int) -> None:
        super().__init__()
        width = len(layer.query.weight)
        self.heads, self.size, self.width = layer.heads, size, width
        blocks = layer.query.weight.detach().view(self.heads, -1, width) * (width // self.heads) ** -0.5
        query = functional.pad(blocks, (0, 0, 0, 1))  # the added row gives 0, to which 1 is added
        one = functional.pad(torch.zeros(self.heads, width // self.heads), (0, 1), value=1.0)
        self.register_buffer("query", query.flatten(0, 1))
        self.register_buffer("one", one.view(-1, 1))
        self.register_buffer("row", torch.ones(1, size))
        self.layer = layer

    def forward(self, y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Map rows (batch * size, width) to the same shape, with tau and, for each head, Delta / tau."""
        layer = self.layer
        y = layer.first_norm(y + torch.matmul(self._attended(y, scale, shift), layer.joined.weight.T))
        wide = torch.relu(torch.matmul(y, layer.wide.weight.T) + layer.wide.bias)
        narrow = torch.matmul(wide, layer.narrow.weight.T) + layer.narrow.bias
        out: Tensor = layer.second_norm(y + narrow)
        return out

    def _attended(self, y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        columns = y.reshape(-1, self.size, self.width).transpose(1, 2)  # (batch, width, size)
        one = self.get_buffer("one") * self.get_buffer("row")
        query = self._heads((torch.matmul(self.get_buffer("query"), columns) + one) * scale)
        key, value = (self._heads(torch.matmul(each.weight, columns)) for each in (self.layer.key, self.layer.value))
        relations = torch.matmul(query.transpose(2, 3), torch.cat([key, shift], dim=2))
        attended = torch.matmul(relations.softmax(dim=3), value.transpose(2, 3))  # (batch, head, size, part)
        return attended.transpose(1, 2).reshape(-1, self.width)

    def _heads(self, columns: Tensor) -> Tensor:
        return columns.reshape(-1, self.heads, columns.shape[1] // self.heads, self.size)


class FoldedError(ScaledError):
    """What `Scored` computes, for Nonstationary, with as few operations on whole windows as there can be."""

    def __init__(self, model: Model, center: Tensor, scale: Tensor, usual_error: Tensor) -> None:
        size = len(model.get_buffer("position"))
        super().__init__(size, center, scale, usual_error)
        self.model = copy.deepcopy(model)
        self.layers = nn.ModuleList(FoldedLayer(layer, size) for layer in self.model.layers if isinstance(layer, Layer))
        self.heads = next(layer.heads for layer in self.model.layers if isinstance(layer, Layer))

    def forward(self, window: Tensor) -> Tensor:
        """Map raw windows (batch, size, channel) to errors of the same shape."""
        model, column = self.model, self.get_buffer("column")
        size, channels = window.shape[1:]
        z = self.scaled(window)
        x, mean, deviation = model.norm.moments(z)
        known = torch.minimum(deviation, model.norm.get_buffer("largest"))
        lowest, highest = (column * model.get_buffer(name) for name in ("lowest", "highest"))
        seen = torch.minimum(torch.maximum(z, lowest), highest)
        scale, shift = model.projector(seen, model.within(mean), known)
        shifts = torch.cat([shift / scale.reshape(-1, 1, 1, 1)] * self.heads, dim=1)
        steady = x * (known / deviation / deviation)
        columns = model.embed(steady.transpose(1, 2)) + model.get_buffer("position").T
        y = columns.transpose(1, 2).reshape(-1, columns.shape[1])
        for layer in self.layers:
            y = layer(y, scale, shifts)
        y = torch.matmul(y, model.out.weight.T) + model.out.bias
        return self.error(z, y.reshape(-1, size, channels) * known + mean)


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
