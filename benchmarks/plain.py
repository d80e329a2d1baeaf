"""The models as their papers and their users write them, with our weights: what benchmarks/engine.py compares with.

Nothing is folded or merged: scaling before, error after, and in between one operation for each line of the paper.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from oddwave.train.scored import Scored


class Plain(nn.Module):
    """Scaling, a model, and the error, written down in order."""

    def __init__(self, scored: Scored) -> None:
        super().__init__()
        self.scored = scored
        self.forward_model = FORWARD[type(scored.model).__module__.rpartition(".")[2]]

    def forward(self, window: Tensor) -> Tensor:
        """Map raw windows (batch, size, channel) to errors of the same shape."""
        buffer = self.scored.get_buffer
        z = (window - buffer("center")) / buffer("scale")
        return (z - self.forward_model(self.scored.model, z)).abs() / buffer("usual_error")


def dlinear(model: Any, x: Tensor, kernel: int = 25) -> Tensor:
    x = x.transpose(1, 2)
    ends = (x[..., :1].repeat(1, 1, kernel // 2), x[..., -1:].repeat(1, 1, kernel // 2))
    trend = functional.avg_pool1d(torch.cat([ends[0], x, ends[1]], dim=2), kernel, stride=1)
    y: Tensor = model.trend(trend) + model.remainder(x - trend)
    return y.transpose(1, 2)


def autoencoder(model: Any, x: Tensor) -> Tensor:
    rows = x.clamp(-model.clip, model.clip).transpose(1, 2)
    mean = rows.mean(dim=2, keepdim=True)
    y: Tensor = model.layers(rows - mean) + mean
    return y.transpose(1, 2)


def patchtst(model: Any, x: Tensor) -> Tensor:
    x, back = _normalised(model.norm, x)
    channels = x.shape[2]
    patches = x.transpose(1, 2)[:, :, model.get_buffer("rows")]
    y = (model.embed(patches) + model.position).flatten(0, 1)  # (series, patch, width)
    for layer in model.layers:
        _, n_patches, heads, part = layer.shape
        query, key, value = (
            each(y).view(-1, n_patches, heads, part).transpose(1, 2) for each in (layer.query, layer.key, layer.value)
        )
        shares = (torch.matmul(query, key.transpose(2, 3)) * part**-0.5).softmax(dim=-1)
        attended = torch.matmul(shares, value).transpose(1, 2).reshape(-1, n_patches, heads * part)
        y = _over_features(layer.attention_norm, y + layer.out(attended))
        y = _over_features(layer.feed_forward_norm, y + layer.shown(functional.gelu(layer.hidden(y))))
    return back(model.head(y.reshape(-1, channels, model.head.in_features)).transpose(1, 2))


def _over_features(norm: nn.Module, y: Tensor) -> Tensor:
    normal: Tensor = nn.BatchNorm1d.forward(norm, y.transpose(1, 2))  # type: ignore[arg-type]
    return normal.transpose(1, 2)


def nonstationary(model: Any, x: Tensor) -> Tensor:
    def within(values: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(values, model.get_buffer("lowest")), model.get_buffer("highest"))

    steady, back = _normalised(model.norm, x)
    mean, deviation = _moments(x)
    known = torch.minimum(deviation, model.norm.get_buffer("largest"))
    scale, shift = model.projector(within(x), within(mean), known)
    y = model.embed((steady * (known / deviation)).transpose(1, 2)).transpose(1, 2) + model.get_buffer("position")
    for layer in model.layers:
        _, size, width = y.shape
        query, key, value = (each(y).view(-1, size, layer.heads, width // layer.heads) for each in _projections(layer))
        relations = torch.einsum("blhe,bshe->bhls", query, key) * scale[..., None] * (width // layer.heads) ** -0.5
        shares = (relations + shift * (width // layer.heads) ** 0.5 * (width // layer.heads) ** -0.5).softmax(dim=-1)
        joined = torch.einsum("bhls,bshd->blhd", shares, value).reshape(-1, size, width)
        y = layer.first_norm(y + layer.joined(joined))
        y = layer.second_norm(y + layer.narrow(torch.relu(layer.wide(y))))
    return back(model.out(y))


def _projections(layer: Any) -> tuple[nn.Module, nn.Module, nn.Module]:
    return layer.query, layer.key, layer.value


def timesnet(model: Any, x: Tensor) -> Tensor:
    x, back = _normalised(model.norm, x)
    h = functional.linear(x, model.embedding.weight).transpose(1, 2) + model.position
    for block in model.blocks:
        seen = []
        for period in block.periods:
            rows = -(-model.size // period)
            grid = functional.pad(h, (0, rows * period - model.size)).reshape(-1, h.shape[1], rows, period)
            for inception in (block.widen, block.narrow):
                grid = torch.stack([_same_size(each, grid) for each in inception.parallel], dim=-1).mean(dim=-1)
                grid = functional.gelu(grid) if inception is block.widen else grid
            seen.append(grid.reshape(-1, h.shape[1], rows * period)[..., : model.size])
        shares = block.shares(h).transpose(1, 2)[..., None]
        h = h + (torch.stack(seen, dim=1) * shares).sum(dim=1)
        h = block.norm(h.transpose(1, 2)).transpose(1, 2)
    return back(model.projection(h.transpose(1, 2)))


def _same_size(convolution: nn.Conv2d, grid: Tensor) -> Tensor:
    reach = convolution.kernel_size[0] // 2
    return functional.conv2d(grid, convolution.weight, convolution.bias, padding=reach)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    mean = x.mean(dim=1, keepdim=True)
    return mean, torch.sqrt((x - mean).square().mean(dim=1, keepdim=True) + 1e-5)


def _normalised(norm: Any, x: Tensor) -> tuple[Tensor, Any]:
    mean, deviation = _moments(x)
    kept = torch.minimum(deviation, norm.get_buffer("largest"))
    return (x - mean) / deviation, lambda y: y * kept + mean


FORWARD = {
    "dlinear": dlinear,
    "autoencoder": autoencoder,
    "patchtst": patchtst,
    "nonstationary": nonstationary,
    "timesnet": timesnet,
}
