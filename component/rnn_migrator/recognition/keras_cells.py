"""The recurrent classes of Keras 1 and 2: their layouts, and what each leaves no choice about."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rnn_migrator.canonical import Fact, Origin
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.layouts import Layout, get_layout
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.recognition.facts import resolve
from rnn_migrator.recognition.releases import Default, Release
from rnn_migrator.recognition.settings import Settings

Facts = Mapping[str, Fact[Any]]

_STORED = Fact(0.0, Origin.CLASS, "stands inside the bias of a Keras layer")
_NO_CLIP = Fact(None, Origin.CLASS, "Keras layers have none")
_LSTM: Facts = {"forget_bias": _STORED, "cell_clip": _NO_CLIP}
_CUDNN: Facts = {
    "activation": Fact("tanh", Origin.CLASS, "cuDNN computes no other"),
    "recurrent_activation": Fact("sigmoid", Origin.CLASS, "cuDNN computes no other"),
}
_CONVOLUTION: Mapping[str, Any] = {
    "strides": (1, 1),
    "padding": "valid",
    "data_format": "channels_last",
    "dilation_rate": (1, 1),
}
"""What Keras 2 takes where a config leaves it out."""


@dataclasses.dataclass(frozen=True)
class KerasCell:
    """A recurrent Keras class.

    Attributes:
      class_name: Name of the layer class.
      layouts: Layout of its weights, by whether it resets after the recurrent product.
      fixed: What the class leaves no choice about.
      keras1_layout: Layout of what Keras 1 wrote, three arrays a gate; "" for none.
      gated: Whether it has gates with an activation of their own.
    """

    class_name: str
    layouts: Mapping[bool, str]
    fixed: Facts = dataclasses.field(default_factory=dict)
    keras1_layout: str = ""
    gated: bool = True

    @property
    def activations(self) -> tuple[str, ...]:
        """The config keys of its activations."""
        return ("activation", "recurrent_activation") if self.gated else ("activation",)


def _one(layout: str) -> dict[bool, str]:
    return {False: layout, True: layout}


_CLASSES = (
    KerasCell("LSTM", _one("keras_lstm"), _LSTM, "keras1_lstm"),
    KerasCell("GRU", {False: "keras_gru", True: "keras_gru_reset_after"}, {}, "keras1_gru"),
    KerasCell("SimpleRNN", _one("keras_rnn"), gated=False),
    KerasCell("CuDNNLSTM", _one("keras_cudnn_lstm"), {**_LSTM, **_CUDNN}),
    KerasCell("CuDNNGRU", _one("keras_cudnn_gru"), _CUDNN),
    KerasCell("ConvLSTM2D", _one("keras_conv_lstm"), _LSTM, "keras1_conv_lstm"),
)

RECURRENT: dict[str, KerasCell] = {cell.class_name: cell for cell in _CLASSES}
"""Recurrent layer classes by name."""


def cells_of(
    name: str, class_name: str, config: Mapping[str, Any]
) -> list[tuple[str, Mapping[str, Any]]]:
    """(layer class, config) of each cell of a layer, bottom to top.

    Raises:
      UnsupportedError: `RNN` around a cell that is not one of Keras' own.
    """
    if class_name != "RNN":
        return [(class_name, config)]
    try:
        cell = config["cell"]
        inside = cell["config"]["cells"] if cell["class_name"] == "StackedRNNCells" else [cell]
        found = [(str(c["class_name"]), dict(c["config"])) for c in inside]
    except (LookupError, TypeError, ValueError) as e:
        raise UnsupportedError(
            Problem(
                where=f"layer {name!r}",
                expected="RNN with the class and config of its cells",
                received=f"{type(e).__name__}: {e}",
                remedy="name the file with the model's to_json() text: --architecture model.json",
            )
        ) from e
    raise_all(
        UnsupportedError,
        (
            Problem(
                where=f"layer {name!r}",
                expected="RNN around LSTMCell, GRUCell, SimpleRNNCell or a stack of these",
                received=cell_class[:100],
                remedy="use rnn_migrator.warm_start to fill the other layers in a model of yours",
            )
            for cell_class, _ in found
            if cell_class not in ("LSTMCell", "GRUCell", "SimpleRNNCell")
        ),
    )
    return [(cell_class.removesuffix("Cell"), inner) for cell_class, inner in found]


def choose_layout(keras_cell: KerasCell, config: Mapping[str, Any], names: Sequence[str]) -> Layout:
    """The layout of a layer's arrays; Keras 1 wrote three a gate, or three in all.

    It kept the kernels of maps with their channels first in another order.
    """
    if keras_cell.keras1_layout:
        order = "_th" if config.get("data_format") == "channels_first" else ""
        layout = get_layout(keras_cell.keras1_layout + order)
        if len(names) == len(layout.roles):
            return layout
    return get_layout(keras_cell.layouts[bool(config.get("reset_after", False))])


_SIGMOID_SINCE = {
    "keras": Default(
        {(0, 0): "hard_sigmoid", (2, 3): "sigmoid"}, "Keras: hard_sigmoid up to 2.2, then sigmoid"
    ),
    "tf.keras": Default(
        {(0, 0): "hard_sigmoid", (2, 0): "sigmoid"},
        "tf.keras: hard_sigmoid in TensorFlow 1, sigmoid in TensorFlow 2",
    ),
}


def cell_facts(
    name: str,
    keras_cell: KerasCell,
    config: Mapping[str, Any],
    settings: Settings,
    release: Fact[Release] | None,
    layer_names: Sequence[str],
) -> dict[str, Fact[Any]]:
    """What a cell computes besides its weights.

    Raises:
      UnsupportedError: An activation is not stated, or by no name that means one thing.
    """
    stated = {
        key: Fact(config[key] or "linear", Origin.CONFIG, f"layer {name!r}")
        for key in keras_cell.activations
        if key in config
    }
    facts = {key: _unstated(key, release) for key in keras_cell.activations}
    facts = resolve({**facts, **stated, **keras_cell.fixed}, {}, settings, *layer_names)
    raise_all(UnsupportedError, _fact_problems(name, keras_cell, facts))
    if keras_cell.class_name == "GRU":
        facts["reset_after"] = _reset_after(name, config)
    if keras_cell.class_name == "ConvLSTM2D":
        arguments = {key: config.get(key) or default for key, default in _CONVOLUTION.items()}
        facts["convolution"] = Fact(arguments, Origin.CONFIG, f"layer {name!r}")
    return facts


def _unstated(key: str, release: Fact[Release] | None) -> Fact[Any]:
    """An activation of which nobody says anything: what the release does that wrote it."""
    if release is None:
        return Fact(None, Origin.UNDECIDED, "the config states none")
    if key == "activation":
        return Fact("tanh", Origin.RELEASE, f"default of every release; {release.source}")
    if release.value.version == AMBIGUOUS and release.origin is not Origin.USER:
        return Fact(None, Origin.UNDECIDED, release.source)
    framework = "keras" if release.value.framework == "keras" else "tf.keras"
    return _SIGMOID_SINCE[framework].fact(release)


def written_by(keras_version: str, settings: Settings) -> Fact[Release] | None:
    """The release that wrote a file, as the user or the file says; None where neither tells.

    tf.keras called itself 2.2.4-tf in TensorFlow 1.13 to 1.15 and in 2.0 and 2.1 alike, whose
    defaults differ; a plain 2.4 or later is that of TensorFlow 2.
    """
    stated: Fact[Release] | None = settings.get("writer")
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", keras_version)
    if stated is not None or match is None:
        return stated
    version = tuple(int(part or 0) for part in match.groups())
    source = f"keras_version {keras_version} in the file"
    if "-tf" not in keras_version and version < (2, 4, 0):
        return Fact(Release("keras", version[:2]), Origin.CONFIG, source)  # type: ignore[arg-type]
    if version == (2, 2, 4):
        return Fact(Release("tf.keras", AMBIGUOUS), Origin.CONFIG, source)
    tensorflow = (1, 12) if version < (2, 2, 4) else (2, 2)
    return Fact(Release("tf.keras", tensorflow), Origin.CONFIG, source)


AMBIGUOUS = (1, 13)
"""TensorFlow 1.13 to 2.1, which give the same `keras_version`."""


def repeats_masked_outputs(release: Release) -> bool:
    """Whether `Bidirectional` repeats the previous output of each direction at masked steps."""
    return release.framework == "keras" or release.version < (1, 13)


def _reset_after(name: str, config: Mapping[str, Any]) -> Fact[bool]:
    if "reset_after" in config:
        return Fact(bool(config["reset_after"]), Origin.CONFIG, f"layer {name!r}")
    return Fact(False, Origin.TENSORS, "one bias of 3U; the config states none")


def _fact_problems(name: str, keras_cell: KerasCell, facts: Facts) -> list[Problem]:
    """Activations must be stated, by names that mean one thing."""
    problems = []
    for key in keras_cell.activations:
        value = facts[key].value
        if not isinstance(value, str) or value not in ACTIVATIONS:
            problems.append(
                Problem(
                    where=f"layer {name!r}, {key}",
                    expected="one of " + ", ".join(ACTIVATIONS),
                    received="nothing in the config" if value is None else repr(value),
                    remedy=f"--set 'layer[{name}].{key}=NAME', or name the release that wrote it: "
                    "--set writer=keras-X.Y",
                )
            )
    if "forget_bias" in facts and facts["forget_bias"].value:
        problems.append(_second_forget_bias(name, facts["forget_bias"]))
    return problems


def _second_forget_bias(name: str, fact: Fact[float]) -> Problem:
    return Problem(
        where=f"layer {name!r}, forget_bias",
        expected="none, since the bias of a Keras layer holds it already",
        received=fact.describe(),
        remedy="leave the setting out",
    )
