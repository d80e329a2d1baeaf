"""Scaling, model and error as one torch module: the thing that is exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oddwave.series import Floats


class Scored(nn.Module):
    """Errors of raw windows, each channel's in units of its usual error on held-out normal rows.

    Parameters
    ----------
    model
        Maps scaled windows to reconstructions. It may clip what it reads: the error is the unclipped value's.
    center, scale
        Mean and deviation of each channel on the rows the model was fitted on, in the user's units.
    usual_error
        Root mean square of each channel's error with `usual_error` 1, on held-out normal rows; with a floor.
    """

    def __init__(self, model: nn.Module, center: Floats, scale: Floats, usual_error: Floats) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("center", torch.as_tensor(center, dtype=torch.float32))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))
        self.register_buffer("usual_error", torch.as_tensor(usual_error, dtype=torch.float32))

    def forward(self, window: Tensor) -> Tensor:
        """Map raw windows (batch, size, channel) to errors of the same shape."""
        z = (window - self.get_buffer("center")) / self.get_buffer("scale")
        error: Tensor = (z - self.model(z)).abs() / self.get_buffer("usual_error")
        return error

    def folded(self) -> nn.Module:
        """Return an equivalent module with fewer operations, if the model offers one; else itself."""
        fold = getattr(self.model, "folded", None)
        if fold is None:
            return self
        folded: nn.Module = fold(*(self.get_buffer(name) for name in ("center", "scale", "usual_error")))
        return folded
