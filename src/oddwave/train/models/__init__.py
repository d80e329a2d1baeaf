"""The neural models, one module each: NAME, Settings, Plan and Model. Adding a model is adding a file here.

A Model maps z-scaled windows (batch, size, channel) to the same shape, each window by itself. It may offer
`observe(windows)`, called once before training with windows of the rows it will learn from, for what is counted
and not learned; and `folded(center, scale, usual_error)`: a module that does what `Scored` does, with less work.
What it chose itself is in its attribute `settings`, if it has one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from oddwave import config
from oddwave.config import Section
from oddwave.errors import ConfigError, nearest
from oddwave.train.plan import Plan

if TYPE_CHECKING:
    from torch import nn


def names() -> list[str]:
    """List the models that can be trained, sorted.

    Examples
    --------
    >>> names()
    ['AutoEncoder_ad', 'DLinear_ad', 'Nonstationary_ad', 'PatchTST_ad', 'TimesNet_ad']
    """
    return sorted(module.NAME for module in _modules())


def settings(name: str, overrides: Mapping[str, Any] | None = None) -> Section:
    """Return a model's own settings, its defaults overridden.

    Raises
    ------
    ConfigError
        If the model or a setting is unknown, or a value is out of bounds.

    Examples
    --------
    >>> settings("DLinear_ad", {"trend_reach": 6})
    Settings(trend_reach=6)
    >>> settings("DLinear_ad", {"trend_reech": 6})
    Traceback (most recent call last):
    ...
    oddwave.errors.ConfigError: DLinear_ad: trend_reech is no setting. Did you mean trend_reach?
    Known are: trend_reach.
    """
    found: Section = config.build(_module(name).Settings, overrides or {}, name, strict=False)
    return found


def plan(name: str, overrides: Mapping[str, Any] | None = None) -> Plan:
    """Return how a model is trained, its defaults overridden; raises as `settings` does.

    Examples
    --------
    >>> plan("DLinear_ad", {"epochs": "3"}).epochs
    3
    """
    found: Plan = config.build(_module(name).Plan, overrides or {}, name, strict=False)
    return found


def sections(name: str, options: Mapping[str, Any]) -> tuple[Section, Plan]:
    """Return a model's own settings and its plan, each with the options that are its own; raises as `settings` does."""
    of_plan = {key: value for key, value in options.items() if key in Plan.__struct_fields__}
    own = {key: value for key, value in options.items() if key not in of_plan}
    return settings(name, own), plan(name, of_plan)


def build(name: str, settings: Section, size: int, channels: int) -> nn.Module:
    """Build a model with fresh weights from torch's random numbers."""
    model: nn.Module = _module(name).Model(settings, size, channels)
    return model


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(__path__):
        if not found.name.startswith("_"):
            yield importlib.import_module(f"{__name__}.{found.name}")


def _module(name: str) -> ModuleType:
    for module in _modules():
        if name == module.NAME:
            return module
    known = ", ".join(names())
    raise ConfigError(f"There is no model {name!r} to train.{nearest(name, names())}\nKnown: {known}.")
