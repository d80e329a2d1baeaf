"""PatchTST: cut each channel's window into patches, and let them attend to one another.

Source: Nie et al., "A Time Series is Worth 64 Words", ICLR 2023, arXiv:2211.14730. As published: each channel is a
series of its own; batch normalisation after each residual, learned positions, a flat head. Changed here:

- The target is the window itself, some of its cells hidden in training, not its future.
- The last patch ends at the last row, where the paper repeats that row to fill one more: no row is made up.
- Two layers, not three: VUS-PR .310 and .522 on two development series after short training, .309 and .522 with three.
- An amplitude beyond those of training is not given back whole (see `InstanceNorm`).
- Biases that a softmax or a batch normalisation takes off again, or that the positions hold, are left out, to no
  effect; so is dropout, since cells are hidden already (its effect wasn't measured).
"""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from oddwave.config import Section
from oddwave.train import plan
from oddwave.train.models._layers import InstanceNorm, ScaledError, gelu

NAME = "PatchTST_ad"


class Plan(plan.Plan, frozen=True):
    """How PatchTST is trained: a window is a series for each channel, so that a step needs few windows."""

    epochs: Annotated[int, Meta(ge=1, le=10_000, description="Most epochs to train.")] = 10
    epoch_windows: Annotated[int, Meta(ge=1, description="Windows drawn an epoch.")] = 1024
    batch_size: Annotated[int, Meta(ge=1, le=65_536, description="Windows a step.")] = 16
    learning_rate: Annotated[float, Meta(gt=0, description="Adam's first step size; it falls along a cosine to 0.")] = (
        0.004
    )


class Settings(Section, frozen=True):
    """Options of PatchTST."""

    patch_rows: Annotated[int, Meta(ge=1, description="Rows of a patch; at most half the window.")] = 16
    patch_step: Annotated[int, Meta(ge=1, description="Rows from one patch's start to the next.")] = 8
    layers: Annotated[int, Meta(ge=1, le=16, description="Encoder layers.")] = 2
    heads: Annotated[int, Meta(ge=1, le=64, description="Attention heads of a layer.")] = 4
    head_width: Annotated[int, Meta(ge=1, le=4096, description="Numbers a head compares, and gives.")] = 4
    feed_forward: Annotated[int, Meta(ge=1, le=4096, description="Hidden units of a layer's feed-forward part.")] = 128


class Model(nn.Module):
    """Reconstruct each channel from its patches."""

    def __init__(self, settings: Settings, size: int, channels: int) -> None:
        super().__init__()
        rows = patches(size, settings.patch_rows, settings.patch_step)
        width = settings.heads * settings.head_width
        self.register_buffer("rows", rows)
        self.norm = InstanceNorm(size, channels)
        self.embed = nn.Linear(rows.shape[1], width, bias=False)
        self.position = nn.Parameter(torch.empty(len(rows), width).uniform_(-0.02, 0.02))
        self.layers = nn.ModuleList(Layer(settings, len(rows)) for _ in range(settings.layers))
        self.head = nn.Linear(len(rows) * width, size)

    def observe(self, windows: Tensor) -> None:
        """Take the largest amplitudes from training windows."""
        self.norm.observe(windows)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, size, channel) to the same shape."""
        x, mean, deviation = self.norm(x)
        y = x.transpose(1, 2)[:, :, self.get_buffer("rows")]  # (batch, channel, patch, row)
        y = (self.embed(y) + self.position).reshape(-1, self.position.shape[1])  # (batch * channel * patch, width)
        for layer in self.layers:
            y = layer(y)
        y = self.head(y.reshape(-1, x.shape[2], self.head.in_features)).transpose(1, 2)
        return self.norm.back(y, mean, deviation)

    def folded(self, center: Tensor, scale: Tensor, usual_error: Tensor) -> nn.Module:
        """Fold patches, positions, attention's products and batch normalisation into few matrices."""
        return FoldedError(self, center, scale, usual_error)


class Layer(nn.Module):
    """An encoder layer: attention among the patches of a series, then a feed-forward part."""

    def __init__(self, settings: Settings, n_patches: int) -> None:
        super().__init__()
        width = settings.heads * settings.head_width
        self.shape = (-1, n_patches, settings.heads, settings.head_width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.attention_norm = Norm(width)
        self.hidden = nn.Linear(width, settings.feed_forward)
        self.shown = nn.Linear(settings.feed_forward, width, bias=False)
        self.feed_forward_norm = Norm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (series * patch, width) to the same shape."""
        x = self.attention_norm(x + self._attended(x))
        y: Tensor = self.feed_forward_norm(x + self.shown(functional.gelu(self.hidden(x))))
        return y

    def _attended(self, x: Tensor) -> Tensor:
        """Return what attention adds: the scores (x Q)(x K)' as (x QK') x', and A (x V) O as (A x) VO, head by head.

        For so few patches and so narrow heads this takes half the time of queries, keys and values, there and back.
        """
        _, n_patches, heads, head_width = self.shape
        width = x.shape[1]
        parts = (self.query.weight, self.key.weight, self.value.weight, self.out.weight.T)
        query, key, value, out = (part.reshape(heads, head_width, width) for part in parts)
        scores = torch.matmul(query.transpose(1, 2), key) / head_width**0.5  # (head, width, width)
        bias = torch.matmul(self.query.bias.view(heads, 1, head_width), key) / head_width**0.5  # (head, 1, width)
        asked = torch.addmm(bias.flatten(), x, scores.transpose(0, 1).reshape(width, -1))
        series = x.view(-1, n_patches, width)
        asked = asked.view(-1, n_patches * heads, width)
        shares = torch.bmm(series, asked.transpose(1, 2)).softmax(dim=1)  # (series, patch, patch * head)
        mixed = torch.bmm(shares.transpose(1, 2), series).view(-1, heads * width)
        return torch.matmul(mixed, torch.matmul(value.transpose(1, 2), out).view(-1, width))


class Norm(nn.BatchNorm1d):
    """Batch normalisation, which in training lets a single patch pass: it has no deviation."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (patch, width) to the same shape."""
        return x if self.training and len(x) == 1 else super().forward(x)

    def coefficients(self) -> tuple[Tensor, Tensor]:
        """Return what it does once trained, as a factor and what is added."""
        factor = self.weight / (self.get_buffer("running_var").double() + self.eps).sqrt()
        return factor, self.bias - factor * self.get_buffer("running_mean")


def patches(size: int, rows: int, step: int) -> Tensor:
    """Return the rows of each patch (patch, row); the last ends at the last row.

    Examples
    --------
    >>> patches(10, rows=4, step=4).tolist()
    [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]
    >>> patches(3, rows=16, step=8).tolist()
    [[0], [1], [2]]
    """
    rows = min(rows, max(1, size // 2))
    starts = [*range(0, size - rows, min(step, rows)), size - rows]
    return torch.tensor(starts)[:, None] + torch.arange(rows)


class FoldedError(ScaledError):
    """What `Scored` computes, for PatchTST, with a patch's numbers x kept as u, where x = spread * u + shift.

    Batch normalisation only changes spread and shift, which go into the next product, as does all else that is linear:
    patches and positions are one product; a head's scores (x Q)(x K)' are (x QK') x', and what it adds, A (x V) O, is
    (A x) VO, so that no queries, keys and values are made and nothing is split into heads. What is added to all scores
    of a patch alike, the softmax takes off again.
    """

    def __init__(self, model: Model, center: Tensor, scale: Tensor, usual_error: Tensor) -> None:
        super().__init__(model.head.out_features, center, scale, usual_error)
        self.norm = model.norm
        self.depth = len(model.layers)
        self.n_patches, self.width = model.position.shape
        with torch.no_grad():
            self._fold(model)

    def _fold(self, model: Model) -> None:
        size = model.head.out_features
        row_of_patch = torch.eye(size, dtype=torch.float64)[:, model.get_buffer("rows")]  # (row, patch, row of patch)
        self._keep("embed", (row_of_patch @ _matrix(model.embed)).flatten(1), model.position.flatten())
        spread, shift = row_of_patch.new_ones(self.width), row_of_patch.new_zeros(self.width)
        for i, layer in enumerate(layer for layer in model.layers if isinstance(layer, Layer)):
            added = self._fold_attention(i, layer, spread, shift)
            factor, bias = layer.attention_norm.coefficients()
            spread, shift = factor * spread, factor * (shift + added) + bias
            self._fold_feed_forward(i, layer, spread, shift)
            factor, bias = layer.feed_forward_norm.coefficients()
            spread, shift = factor * spread, factor * shift + bias
        head = _matrix(model.head).view(self.n_patches, self.width, size)
        self._keep("head", (spread[:, None] * head).flatten(0, 1), model.head.bias + (shift @ head).sum(dim=0))

    def _fold_attention(self, i: int, layer: Layer, spread: Tensor, shift: Tensor) -> Tensor:
        """Keep two products; return what the attention adds to each patch, whatever its scores."""
        heads, head_width = layer.shape[2:]
        query, key, value = (
            _matrix(part).view(-1, heads, head_width) for part in (layer.query, layer.key, layer.value)
        )
        out = _matrix(layer.out).view(heads, head_width, -1)
        bias = layer.query.bias.view(heads, head_width) + torch.einsum("i,ihd->hd", shift, query)
        key = spread[:, None, None] * key / head_width**0.5
        scores = torch.einsum("ihd,jhd->ihj", spread[:, None, None] * query, key)
        self._keep(f"scores{i}", scores.flatten(1), torch.einsum("hd,jhd->hj", bias, key).flatten())
        mixed = torch.einsum("ihd,hdj->hij", value, out)
        self._keep(f"mixed{i}", (spread[:, None] * mixed / spread).flatten(0, 1))
        return (shift @ mixed).sum(dim=0)

    def _fold_feed_forward(self, i: int, layer: Layer, spread: Tensor, shift: Tensor) -> None:
        hidden = _matrix(layer.hidden)
        self._keep(f"hidden{i}", spread[:, None] * hidden, layer.hidden.bias + shift @ hidden)
        self._keep(f"shown{i}", _matrix(layer.shown) / spread)

    def _keep(self, name: str, matrix: Tensor, bias: Tensor | None = None) -> None:
        self.register_buffer(name, matrix.float())
        if bias is not None:
            self.register_buffer(f"{name}_bias", bias.float())

    def forward(self, window: Tensor) -> Tensor:
        """Map raw windows (batch, size, channel) to errors of the same shape."""
        size, channels = window.shape[1:]
        z = self.scaled(window)
        x, mean, deviation = self.norm(z)
        u = self._affine("embed", x.transpose(1, 2).reshape(-1, size)).reshape(-1, self.width)
        for i in range(self.depth):
            u = u + self._linear(f"mixed{i}", self._mixed(self._affine(f"scores{i}", u), u))
            u = u + self._linear(f"shown{i}", gelu(self._affine(f"hidden{i}", u)))
        y = self._affine("head", u.reshape(-1, self.n_patches * self.width)).reshape(-1, channels, size)
        return self.error(z, self.norm.back(y.transpose(1, 2), mean, deviation))

    def _mixed(self, query: Tensor, u: Tensor) -> Tensor:
        """Return each patch's mixtures of its series' patches, one a head: (series * patch, head * width)."""
        series = u.reshape(-1, self.n_patches, self.width)
        query = query.reshape(-1, self.n_patches * query.shape[1] // self.width, self.width)
        shares = torch.softmax(torch.matmul(query, series.transpose(1, 2)), dim=-1)  # (series, patch * head, patch)
        return torch.matmul(shares, series).reshape(-1, query.shape[1] // self.n_patches * self.width)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return torch.matmul(x, self.get_buffer(name))

    def _affine(self, name: str, x: Tensor) -> Tensor:
        return self._linear(name, x) + self.get_buffer(f"{name}_bias")


def _matrix(layer: nn.Linear) -> Tensor:
    return layer.weight.double().T
