"""Layers that are made of others."""

from __future__ import annotations

from typing import Any

from hebbian._base import FixedLayer, Learner, absences, from_config
from hebbian._settings import plain


class ConvolutionBase(Learner):
    """A rule on patches of images."""

    def _spec(self) -> dict[str, Any]:
        names = ("kernel", "input", "stride", "padding", "patches")
        keywords = {name: plain(getattr(self, name)) for name in names}
        return {"rule": self._rule, "keywords": keywords, "layers": [_spec_of(self._filters(), "rule")]}

    def _filters(self) -> Any:
        from hebbian import SoftHebb

        return SoftHebb() if self.rule is None else self.rule

    @classmethod
    def _keywords_of(cls, config: dict[str, Any]) -> dict[str, Any]:
        own, rule = dict(config["convolution"]), config["rule"]
        own["input"] = _size_of(own["input"])
        return {"rule": from_config(rule["rule"], rule["config"]), **absences(own)}


class StackBase(Learner):
    """Layers on top of each other."""

    def _spec(self) -> dict[str, Any]:
        if not isinstance(self.layers, (list, tuple)):
            raise ValueError(f"layers = {self.layers!r} is not allowed: a list of layers")
        layers = [_spec_of(layer, f"layers[{place}]") for place, layer in enumerate(self.layers)]
        return {"rule": self._rule, "keywords": {"greedy_epochs": plain(self.greedy_epochs)}, "layers": layers}

    @classmethod
    def _keywords_of(cls, config: dict[str, Any]) -> dict[str, Any]:
        layers = [from_config(one["rule"], one["config"]) for one in config["rules"]]
        learning = config["learning"]
        greedy = tuple(learning["greedy"]) if isinstance(learning, dict) else ()
        return {"layers": layers, "greedy_epochs": greedy}


def _spec_of(layer: Any, name: str) -> dict[str, Any]:
    if not isinstance(layer, (Learner, FixedLayer)):
        raise ValueError(f"{name} = {layer!r} is not allowed: a layer of hebbian")
    return layer._spec()


def _size_of(image: dict[str, int]) -> tuple[int, int, int]:
    return image["channels"], image["height"], image["width"]
