"""What the user says that the artifact cannot: the `--set KEY=VALUE` options."""

from __future__ import annotations

import ast
import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rnn_migrator.canonical import Fact, Origin
from rnn_migrator.errors import Problem, UsageError, raise_all
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.recognition.releases import parse_release


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("neither NaN nor infinity makes sense here")
    return value


def _clip(text: str) -> float | None:
    if text.lower() in ("none", "off"):
        return None
    value = _number(text)
    if not value > 0:
        raise ValueError("a clip is a positive number, or none")
    return value


def _activation(text: str) -> str:
    if text not in ACTIVATIONS:
        raise ValueError("known activations are " + ", ".join(ACTIVATIONS))
    return text


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("a switch is true or false")
    return text.lower() == "true"


def _choice(*known: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in known:
            raise ValueError("known are " + ", ".join(known))
        return text

    return parse


def _cudnn(text: str) -> str:
    if text not in ("lstm", "gru"):
        raise ValueError("a cuDNN buffer holds an lstm or a gru")
    return text


def _replacement(text: str) -> dict[str, Any]:
    """`Class(key=value, ...)` as class name and config; the values are plain literals."""
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args:
            config = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
            return {"class_name": call.func.id, "config": config}
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        pass
    raise ValueError("a replacement is a layer with plain arguments, such as Permute(dims=[2, 1])")


def _scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(scope.strip().rstrip("/") for scope in text.split(","))
    if not all(scopes):
        raise ValueError("layers are scopes, bottom to top, with commas between them")
    return scopes


def _size(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("a size is a positive integer")
    return value


@dataclasses.dataclass(frozen=True)
class SettingKey:
    """A key of `--set`: how its value is read, and what it settles."""

    parse: Callable[[str], Any]
    help: str
    per_layer: bool = True


KEYS: dict[str, SettingKey] = {
    "writer": SettingKey(
        parse_release, "release that wrote it, whose defaults count, e.g. tensorflow-1.2", False
    ),
    "forget_bias": SettingKey(_number, "added to the forget gate at run time, e.g. 1.0"),
    "activation": SettingKey(_activation, "of candidate and output, e.g. tanh"),
    "recurrent_activation": SettingKey(_activation, "of the gates, e.g. sigmoid"),
    "cell_clip": SettingKey(_clip, "bound on the cell state, e.g. 3.0, or none"),
    "proj_clip": SettingKey(_clip, "bound on the projected output, e.g. 3.0, or none"),
    "reset_after": SettingKey(
        _flag,
        "where a hand-written GRU resets: false for (r * h) @ U, true for r * (h @ U)",
    ),
    "update_keeps": SettingKey(
        _choice("state", "candidate"),
        "what a hand-written GRU multiplies with the update gate: state for z * h + (1 - z) * g, "
        "candidate for (1 - z) * h + z * g",
    ),
    "row_order": SettingKey(
        _choice("xh", "hx"), "rows of a hand-written gate's one matrix: xh (input first) or hx"
    ),
    "input_size": SettingKey(_size, "width of the input, checked against the kernel"),
    "class": SettingKey(str, "class that wrote a layer's weights, e.g. CuDNNLSTM or LSTMBlockCell"),
    "replacement": SettingKey(
        _replacement, "layer to put in place of a Lambda, e.g. 'Slice(axis=1, start=-1)'"
    ),
    "kernel_name": SettingKey(str, "name of a hand-written gate's input matrix, e.g. wx"),
    "recurrent_name": SettingKey(str, "name of a hand-written gate's recurrent matrix, e.g. wt"),
    "scope": SettingKey(str, "which of several recurrent stacks to take", False),
    "layers": SettingKey(_scopes, "scopes of the cells of a stack, bottom to top", False),
    "use_ema": SettingKey(_flag, "whether moving averages stand for the variables", False),
    "cudnn": SettingKey(_cudnn, "kind of an opaque cuDNN buffer: lstm or gru", False),
    "num_layers": SettingKey(_size, "layers in an opaque cuDNN buffer", False),
    "num_units": SettingKey(_size, "units of each layer in an opaque cuDNN buffer", False),
    "bidirectional": SettingKey(_flag, "whether an opaque cuDNN buffer runs both ways", False),
}
"""Every key that `--set` takes."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Parsed settings.

    Attributes:
      values: (layer or None for all, key) to value.
      texts: The same keys to what the user wrote, for reports.
    """

    values: Mapping[tuple[str | None, str], Any] = dataclasses.field(default_factory=dict)
    texts: Mapping[tuple[str | None, str], str] = dataclasses.field(default_factory=dict)

    def get(self, key: str, *layers: str) -> Fact[Any] | None:
        """The user's value for a key as a fact, the narrowest first, or None.

        Args:
          key: One of `KEYS`.
          *layers: What the layer may be called: its index, its name.
        """
        for layer in (*layers, None):
            if (layer, key) in self.values:
                source = "--set " + self.texts[layer, key]
                return Fact(self.values[layer, key], Origin.USER, source)
        return None

    def check_layers(self, known: Iterable[str]) -> None:
        """Refuses settings narrowed to a layer that does not exist.

        Raises:
          UsageError: With every such setting.
        """
        known = list(known)
        raise_all(
            UsageError,
            (
                Problem(
                    where=f"--set {self.texts[layer, key]}",
                    expected="a layer of this model: " + ", ".join(known),
                    received=f"layer[{layer}]",
                    remedy="name one of these layers",
                )
                for layer, key in self.values
                if layer is not None and layer not in known
            ),
        )


def parse_settings(texts: Iterable[str]) -> Settings:
    """Parses `KEY=VALUE` texts, `layer[1].KEY=VALUE` for one layer.

    Raises:
      UsageError: With every text that is not a setting.
    """
    values: dict[tuple[str | None, str], Any] = {}
    sources: dict[tuple[str | None, str], str] = {}
    problems = []
    for text in texts:
        try:
            layer, key, value = _parse_one(text)
        except ValueError as e:
            problems.append(_wrong(text, str(e)))
            continue
        values[layer, key] = value
        sources[layer, key] = text
    raise_all(UsageError, problems)
    return Settings(values, sources)


def _parse_one(text: str) -> tuple[str | None, str, Any]:
    match = re.fullmatch(r"(?:layer\[(?P<layer>[^\]]+)\]\.)?(?P<key>\w+)=(?P<value>.*)", text)
    if match is None:
        raise ValueError("not of the form KEY=VALUE or layer[N].KEY=VALUE")
    key = match["key"]
    if key not in KEYS:
        raise ValueError(f"unknown key {key!r}")
    if match["layer"] is not None and not KEYS[key].per_layer:
        raise ValueError(f"{key} cannot be narrowed to a layer")
    return match["layer"], key, KEYS[key].parse(match["value"].strip())


def _wrong(text: str, received: str) -> Problem:
    keys = "; ".join(f"{key} ({setting.help})" for key, setting in KEYS.items())
    return Problem(
        where=f"--set {text}",
        expected="KEY=VALUE with one of the keys: " + keys,
        received=received,
        remedy="for instance --set forget_bias=1.0 or --set 'layer[1].forget_bias=0'",
    )
