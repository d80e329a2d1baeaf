"""TimesNet: fold a window at its main periods into grids and look at these as at images.

Source: Wu et al., "TimesNet: Temporal 2D-Variation Modeling for General Time Series Analysis", ICLR 2023,
arXiv:2210.02186. Changed here:

- The periods are chosen once, from the training rows, and kept. The paper chooses them anew for each window, its
  published code for each batch, so that there a window's score depends on its batch-mates. How much each period
  counts is still up to the window. Measured on two series, VUS-PR with the periods kept and chosen for each window:
  .402 and .407, .524 and .539 (`full`); the choice among all periods trains four to seven times as long.
- An amplitude beyond those of training is not given back whole (see `InstanceNorm`).
- Rows are embedded by a linear layer and their positions are learned: the convolutions see a row's neighbours anyway.
- The mean of parallel convolutions is computed as the one convolution that it is, in training as well (three to four
  times as fast), cut to what a grid can reach.
- Cells are hidden in training, as for the other models.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from oddwave.config import Section
from oddwave.errors import ConfigError
from oddwave.train import plan
from oddwave.train.models._layers import InstanceNorm, ScaledError, gelu

NAME = "TimesNet_ad"
_EPSILON = 1e-6  # the slope of a square root is infinite at 0
_Periods = tuple[Annotated[int, Meta(ge=1)], ...]


class Plan(plan.Plan, frozen=True):
    """How TimesNet is trained: with more and larger steps than others, which it stands, to be done sooner."""

    epoch_windows: Annotated[int, Meta(ge=1, description="Windows drawn an epoch.")] = 1024
    batch_size: Annotated[int, Meta(ge=1, le=65_536, description="Windows a step.")] = 32
    learning_rate: Annotated[float, Meta(gt=0, description="Adam's first step size; it falls along a cosine to 0.")] = (
        0.005
    )


class Settings(Section, frozen=True):
    """Options of TimesNet."""

    periods: Annotated[
        Annotated[_Periods, Meta(min_length=1, max_length=16)] | None,
        Meta(description="Rows after which the series may repeat; None: chosen from the training rows."),
    ] = None
    top: Annotated[int, Meta(ge=1, le=16, description="How many periods to choose.")] = 3
    width: Annotated[int, Meta(ge=1, le=4096, description="Features of a row.")] = 8
    inner_width: Annotated[int, Meta(ge=1, le=4096, description="Features between a block's two convolutions.")] = 16
    kernels: Annotated[int, Meta(ge=1, le=16, description="Convolutions side by side: 1 x 1, 3 x 3, and so on.")] = 6
    layers: Annotated[int, Meta(ge=1, le=16, description="Blocks, one after the other.")] = 1


class Model(nn.Module):
    """Reconstruct a window from a few features of each row and their grids.

    Every sum is a product from the left or a convolution: in ONNX Runtime its last digits don't depend on the batch.
    """

    def __init__(self, settings: Settings, size: int, channels: int) -> None:
        super().__init__()
        if settings.periods and max(settings.periods) > size:
            raise ConfigError(
                f"{NAME}: periods holds {max(settings.periods)}, but a window has {size} rows.\n"
                f"Give periods of {size} rows or fewer, or a larger input_len."
            )
        self.settings = settings
        self.size = size
        self.norm = InstanceNorm(size, channels)
        self.embedding = nn.Linear(channels, settings.width, bias=False)
        self.position = nn.Parameter(0.02 * torch.randn(settings.width, size))
        self.blocks = nn.Sequential(*(Block(settings, size) for _ in range(settings.layers)))
        self.projection = nn.Linear(settings.width, channels)
        self._fold_at(settings.periods or _periods(range(1, size // 2 + 1), size, settings.top))

    @torch.no_grad()
    def observe(self, windows: Tensor) -> None:
        """Choose the periods of the largest mean amplitudes, unless they are given; see how far windows range."""
        self.norm.observe(windows)
        if self.settings.periods is None:
            normal, _, _ = self.norm(windows)
            amplitudes = torch.fft.rfft(normal, dim=1).abs().mean(dim=(0, 2))[1:]  # without the mean
            frequencies = 1 + amplitudes.argsort(descending=True, stable=True)
            periods = _periods(frequencies.tolist(), self.size, self.settings.top)
            self.settings = msgspec.structs.replace(self.settings, periods=periods)
            self._fold_at(periods)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, size, channel) to the same shape."""
        x, mean, deviation = self.norm(x)
        h = torch.matmul(self.embedding.weight, x.transpose(1, 2)) + self.position  # (batch, feature, size)
        h = self.blocks(h)
        y = torch.matmul(self.projection.weight, h) + self.projection.bias[:, None]  # (batch, channel, size)
        return self.norm.back(y.transpose(1, 2), mean, deviation)

    def folded(self, center: Tensor, scale: Tensor, usual_error: Tensor) -> nn.Module:
        """Merge the parallel convolutions."""
        return FoldedError(self, center, scale, usual_error)

    def _fold_at(self, periods: tuple[int, ...]) -> None:
        for block in self.blocks:
            if isinstance(block, Block):
                block.fold_at(periods)


class Block(nn.Module):
    """Add what the convolutions see in the grids, each grid as far as its period is in the window."""

    def __init__(self, settings: Settings, size: int) -> None:
        super().__init__()
        self.size = size
        self.widen: nn.Module = Inception(settings.width, settings.inner_width, settings.kernels)
        self.narrow: nn.Module = Inception(settings.inner_width, settings.width, settings.kernels)
        self.norm = nn.LayerNorm(settings.width)
        self.register_buffer("average", torch.full((1, settings.width), 1 / settings.width))

    def fold_at(self, periods: tuple[int, ...]) -> None:
        """Set the periods."""
        self.periods = periods
        frequencies = torch.tensor([round(self.size / period) for period in periods])
        angles = 2 * torch.pi / self.size * torch.outer(frequencies, torch.arange(self.size))
        self.register_buffer("waves", torch.cat([angles.cos(), angles.sin()]))
        self.register_buffer("pairs", torch.eye(len(periods)).repeat(1, 2))  # a cosine and its sine

    def forward(self, h: Tensor) -> Tensor:
        """Map (batch, feature, size) to the same shape."""
        width = h.shape[1]
        seen = [self._seen(h, period).reshape(-1, 1, width * self.size) for period in self.periods]
        h = h + torch.matmul(self.shares(h), torch.cat(seen, dim=1)).reshape(-1, width, self.size)
        normal: Tensor = self.norm(h.transpose(1, 2))
        return normal.transpose(1, 2)

    def shares(self, h: Tensor) -> Tensor:
        """Return how much each period counts in each window, (batch, 1, period): the softmax of its amplitude."""
        squares = torch.matmul(self.get_buffer("waves"), h.transpose(1, 2)).square()
        amplitudes = torch.sqrt(torch.matmul(self.get_buffer("pairs"), squares) + _EPSILON)  # (batch, period, feature)
        return torch.matmul(self.get_buffer("average"), amplitudes.transpose(1, 2)).softmax(dim=-1)

    def _seen(self, h: Tensor, period: int) -> Tensor:
        """Fold at one period, the last row filled up with 0, convolve twice, and unfold."""
        rows = -(-self.size // period)
        more = rows * period - self.size
        filled = torch.cat([h, 0 * h[..., :more]], dim=2) if more else h
        out = self._convolved(filled.reshape(-1, h.shape[1], rows, period))
        return out.reshape(-1, h.shape[1], rows * period)[..., : self.size]

    def _convolved(self, grid: Tensor) -> Tensor:
        out: Tensor = self.narrow(functional.gelu(self.widen(grid)))
        return out


class FoldedBlock(Block):
    """What `Block` computes, each Inception as one convolution along the longer side of a grid."""

    def __init__(self, block: Block) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(copy.deepcopy(block).__dict__)
        grids = [(-(-self.size // period), period) for period in self.periods]
        for name in ("widen", "narrow"):
            kernel, bias = getattr(block, name).merged()
            setattr(self, name, Convolution(kernel, bias, grids))

    def _convolved(self, grid: Tensor) -> Tensor:
        is_turned = grid.shape[2] > grid.shape[3]
        grid = grid.transpose(2, 3) if is_turned else grid
        out: Tensor = self.narrow(gelu(self.widen(grid, is_turned)), is_turned)
        return out.transpose(2, 3) if is_turned else out


class Inception(nn.Module):
    """The mean of parallel convolutions 1 x 1, 3 x 3 and so on, as the one convolution that it is."""

    def __init__(self, before: int, after: int, kernels: int) -> None:
        super().__init__()
        self.parallel = nn.ModuleList(nn.Conv2d(before, after, 2 * reach + 1) for reach in range(kernels))

    def merged(self) -> tuple[Tensor, Tensor]:
        """Return kernel and bias of that convolution."""
        layers = [layer for layer in self.parallel if isinstance(layer, nn.Conv2d)]
        reach = len(layers) - 1
        kernel = torch.stack([functional.pad(layer.weight, [reach - i] * 4) for i, layer in enumerate(layers)])
        return kernel.mean(dim=0), torch.stack([layer.bias for layer in layers if layer.bias is not None]).mean(dim=0)

    def forward(self, grid: Tensor) -> Tensor:
        """Map (batch, feature, period, phase) to other features of the same grid."""
        return _convolve(grid, *self.merged())


class Convolution(nn.Module):
    """A merged Inception: the lines of a grid's shorter side are features, and each is a sum over all of them.

    It is the same sum, in half the time that a convolution of few features takes.
    """

    def __init__(self, kernel: Tensor, bias: Tensor, grids: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.reach = kernel.shape[2] // 2
        rows, columns = (max(side) for side in zip(*grids, strict=True))
        kernel = _cut(kernel.detach(), rows, columns)
        lines = [max((grid[i] for grid in grids if grid[i] == min(grid)), default=1) for i in (0, 1)]
        more = [max(0, lines[i] - 1 - kernel.shape[2 + i] // 2) for i in (0, 1)]  # 0 between the lines farthest apart
        self.register_buffer("kernel", functional.pad(kernel, [more[1], more[1], more[0], more[0]]).contiguous())
        self.register_buffer("bias", bias.detach()[:, None])

    def forward(self, grid: Tensor, is_turned: bool) -> Tensor:
        """Map (batch, feature, line, place) to other features of the same grid, in which lines may be columns."""
        features, lines, places = grid.shape[1:]
        kernel = self.get_buffer("kernel")
        kernel = kernel.transpose(2, 3) if is_turned else kernel
        kernel = _middle(_middle(kernel, 2, lines - 1), 3, min(self.reach, places - 1))
        seen = [kernel[:, :, lines - 1 - i : 2 * lines - 1 - i].reshape(len(kernel), 1, -1) for i in range(lines)]
        weight = torch.cat(seen, dim=1).reshape(-1, features * lines, 1, kernel.shape[3])  # the same for each window
        bias = torch.cat([self.get_buffer("bias")] * lines, dim=1).reshape(-1)
        out = functional.conv2d(
            grid.reshape(-1, features * lines, 1, places), weight, bias, padding=(0, kernel.shape[3] // 2)
        )
        return out.reshape(-1, len(kernel), lines, places)


class FoldedError(ScaledError):
    """What `Scored` computes, for TimesNet, with one convolution in place of several."""

    def __init__(self, model: Model, center: Tensor, scale: Tensor, usual_error: Tensor) -> None:
        super().__init__(model.size, center, scale, usual_error)
        self.model = copy.deepcopy(model)
        self.model.blocks = nn.Sequential(*(FoldedBlock(block) for block in model.blocks if isinstance(block, Block)))

    def forward(self, window: Tensor) -> Tensor:
        """Map raw windows (batch, size, channel) to errors of the same shape."""
        z = self.scaled(window)
        return self.error(z, self.model(z))


def _convolve(grid: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Convolve with zeros around the grid; what the kernel can't reach from within isn't multiplied."""
    kernel = _cut(kernel, grid.shape[2], grid.shape[3])
    return functional.conv2d(grid, kernel, bias, padding=(kernel.shape[2] // 2, kernel.shape[3] // 2))


def _cut(kernel: Tensor, rows: int, columns: int) -> Tensor:
    """Return the middle of a kernel, which reaches from one end of such a grid to the other and no farther."""
    return _middle(_middle(kernel, 2, rows - 1), 3, columns - 1)


def _middle(kernel: Tensor, dim: int, reach: int) -> Tensor:
    """Return what reaches no farther along one side."""
    over = max(0, kernel.shape[dim] // 2 - reach)
    return kernel.narrow(dim, over, kernel.shape[dim] - 2 * over)


def _periods(frequencies: Iterable[int], size: int, top: int) -> tuple[int, ...]:
    """Return the distinct periods of the first frequencies, each so many times a window; a single row's is 1.

    Examples
    --------
    >>> _periods([1, 40, 4, 41, 2], size=96, top=3)
    (96, 2, 24)
    """
    return tuple(dict.fromkeys(size // frequency for frequency in frequencies))[:top] or (size,)
