"""Plan: how a model is trained. Each model may have its own defaults."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from oddwave.config import Section


class Plan(Section, frozen=True):
    """How a model is trained."""

    epochs: Annotated[int, Meta(ge=1, le=10_000, description="Most epochs to train.")] = 20
    epoch_windows: Annotated[
        int,
        Meta(ge=1, description="Windows drawn an epoch: a short series is read again, a long one in part."),
    ] = 4096
    batch_size: Annotated[int, Meta(ge=1, le=65_536, description="Windows a step.")] = 128
    learning_rate: Annotated[
        float, Meta(gt=0, description="Adam's step size; it falls along a cosine to 0 in the last epoch.")
    ] = 0.002
    patience: Annotated[
        int, Meta(ge=1, description="Stop after so many epochs without a lower loss on the held-out rows.")
    ] = 5
    mask: Annotated[
        float, Meta(ge=0, lt=1, description="Share of the cells hidden in training: the model fills them in.")
    ] = 0.2
    mask_span: Annotated[int, Meta(ge=1, description="Rows hidden at a time.")] = 1
    seed: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="Seed of the first weights, the order and the masks.")
    ] = 0
    threads: Annotated[int, Meta(ge=1, description="Processor threads; another number may change the last digits.")] = 1
