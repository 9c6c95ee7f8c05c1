"""What is supported, as tables for the README: from the registries, and what the lab shows.

python -m tests.support          writes the tables into README.md
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rnn_migrator.canonical import Cell, CellKind, HeadLayer, Layer
from rnn_migrator.equivalence.inputs.recorded import recorded_cases
from rnn_migrator.keras_model.build import layer_weights
from rnn_migrator.keras_model.reload import open_saved_model
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.layouts import Layout, all_layouts
from rnn_migrator.layouts.heads import HEADS, REPLACEMENTS
from rnn_migrator.layouts.keras_weights import is_stock
from rnn_migrator.recognition.hand_written import HAND_WRITTEN
from rnn_migrator.recognition.keras_cells import RECURRENT
from rnn_migrator.recognition.tf1_cells import NAMED_CELLS, REFUSED_CELLS
from tests.equivalence.lab import LAB, LabModel, exported

README = Path(__file__).resolve().parents[1] / "README.md"


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the lab shows of one cell: its model, and how far the converted model is off."""

    layout: str
    becomes: str
    model: LabModel
    error: float


def write() -> None:
    """Puts every section where the README has room for it."""
    for section, make in SECTIONS.items():
        before, _, after = parts(README.read_text("utf-8"), section)
        README.write_text(before + make() + after, "utf-8")


def parts(readme: str, section: str) -> tuple[str, str, str]:
    """The README before a section, the section, and what comes after.

    Raises:
      ValueError: It has no room for the section.
    """
    begin, end = (
        f"<!-- {text}{section and ': ' + section} -->"
        for text in ("made by `make support`", "end of what `make support` made")
    )
    match = re.fullmatch(
        rf"(.*{re.escape(begin)}\n\n)(.*)(\n{re.escape(end)}.*)", readme, re.DOTALL
    )
    if match is None:
        raise ValueError(f"README.md has no room between {begin} and {end}")
    return match[1], match[2], match[3]


@functools.cache
def tables() -> str:
    """What is supported."""
    shown = list(_shown())
    sections = [
        "| source | artifacts in the lab | written by |\n|---|---|---|",
        *_formats(),
        "",
        "| written by | layout | becomes | artifacts | furthest from the original's outputs |",
        "|---|---|---|---|---|",
        *_cells(shown),
        "",
        "Layers without recurrence that come along: " + _listed(_heads()) + ".",
        "",
        "What can stand for a `Lambda`: any of these, or " + _listed(sorted(REPLACEMENTS)) + ".",
        "",
        "Refused by name: " + ", ".join(sorted(dict.fromkeys(REFUSED_CELLS.values()))) + ".",
    ]
    return "\n".join(sections) + "\n"


def _formats() -> Iterator[str]:
    models: dict[str, list[LabModel]] = defaultdict(list)
    for model in LAB.values():
        models[model.recognition.artifact.format].append(model)
    for name, found in sorted(models.items()):
        yield f"| {name} | {len(found)} | {_releases(found)} |"


def _releases(models: Iterable[LabModel]) -> str:
    """Frameworks and their versions, such as "keras 1.2.2, 2.2.5"."""
    versions: dict[str, set[str]] = defaultdict(set)
    for model in models:
        versions[model.case.writer["framework"]].add(model.case.writer["version"])
    return "; ".join(
        f"{framework} {', '.join(sorted(found, key=_as_numbers))}"
        for framework, found in sorted(versions.items())
    )


def _as_numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _shown() -> Iterator[Shown]:
    """Every cell of every model of the lab."""
    for model in LAB.values():
        error = golden_error(model)
        for layer in model.recognition.model.recurrent_layers:
            for member in layer.cells.values():
                becomes = _becomes(member.cell, alone=len(layer.forward) == 1)
                yield Shown(member.source.layout, becomes, model, error)


def golden_error(model: LabModel) -> float:
    """How far the SavedModel of a lab model is from the recorded outputs, as one in their size."""
    call = open_saved_model(exported(model.name, Target.CPU) / "saved_model")
    worst = 0.0
    for file in model.golden_files:
        [case] = recorded_cases(file, model.recognition.model)
        outputs = call(case.signature, case.inputs)
        for name, expected in case.expected.items():
            off = np.abs(outputs[name] - expected) / max(1.0, float(np.abs(expected).max()))
            worst = max(worst, float(off.max(initial=0.0)))
    return worst


def _becomes(cell: Cell, *, alone: bool) -> str:
    """The Keras layer that computes a canonical cell, or what stands for it in a stack of cells."""
    if not is_stock(cell):
        name = "LayerNormLSTMCell" if cell.norms else _OWN[cell.kind]
        return f"`RNN({name})`"
    return f"`{_STOCK[cell.kind]}`" if alone else f"`RNN({_STOCK[cell.kind]}Cell)`"


_STOCK = {
    CellKind.LSTM: "LSTM",
    CellKind.GRU: "GRU",
    CellKind.RNN: "SimpleRNN",
    CellKind.CONV_LSTM: "ConvLSTM2D",
}
_OWN = {
    CellKind.LSTM: "LegacyLSTMCell",
    CellKind.COUPLED_LSTM: "CoupledLSTMCell",
    CellKind.UGRNN: "UGRNNCell",
}


def _cells(shown: Sequence[Shown]) -> Iterator[str]:
    for layout in _public_layouts():
        mine = [one for one in shown if one.layout == layout.name]
        becomes = ", ".join(dict.fromkeys(one.becomes for one in mine)) or "–"
        models = {one.model.name: one.model for one in mine}
        error = _bound(max((one.error for one in mine), default=0.0)) if mine else "–"
        writers = _listed(_classes(layout))
        yield f"| {writers} | `{layout.name}` | {becomes} | {len(models)} | {error} |"


def _public_layouts() -> list[Layout]:
    """Layouts that something is stored in."""
    return sorted(
        (layout for layout in all_layouts() if _classes(layout)), key=lambda layout: layout.name
    )


def _classes(layout: Layout) -> list[str]:
    """Classes that write a layout."""
    tensorflow = [named.cell_class for named in NAMED_CELLS if named.layout == layout.name]
    keras = [
        name
        for name, cell in RECURRENT.items()
        if layout.name in (*cell.layouts.values(), cell.keras1_layout)
    ]
    older = ["Keras 1 " + name if layout.name.startswith("keras1") else name for name in keras]
    by_hand = [named.cell_class for named in HAND_WRITTEN if named.layout == layout.name]
    return list(dict.fromkeys([*tensorflow, *older, *by_hand]))


def _bound(error: float) -> str:
    """A power of ten that an error stays below; the digits depend on the machine."""
    return f"< {10.0 ** max(np.ceil(np.log10(max(error, 1e-30))), -5):.0e}"


def _heads() -> list[str]:
    return sorted(name for name in HEADS if ">" not in name)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


@functools.cache
def hard_sigmoid() -> str:
    """One file of Keras 2 with hard sigmoid gates, loaded in three ways."""
    model = LAB["keras2_lstm_hard_sigmoid"]
    golden = model.case.golden()
    [inputs], [expected] = golden["inputs"].values(), golden["outputs"].values()
    rebuilt = keras.Sequential([keras.Input((None, inputs.shape[-1]))])
    for node in model.recognition.model.nodes:
        rebuilt.add(_plain(node.layer))
        rebuilt.layers[-1].set_weights(layer_weights(node.layer))
    off = float(np.abs(rebuilt.predict(inputs, verbose=0) - expected).max())
    return "\n".join(
        [
            "| way | result |",
            "|---|---|",
            f"| `tf.keras.models.load_model(file)` | {_loaded(model)} |",
            "| the same layers in `tf.keras`, `set_weights` from the file | no error, outputs off "
            f"by {off:.1g} |",
            f"| `rnn-migrate convert file` | outputs off by {_bound(golden_error(model))} |\n",
        ]
    )


def _plain(layer: Layer) -> Any:
    """The layer of the same name in Keras 3, activations by the names in the file."""
    if isinstance(layer, HeadLayer):
        return keras.layers.Dense(layer.config["units"], layer.config["activation"])
    cell = layer.forward[0].cell  # type: ignore[union-attr]
    return keras.layers.LSTM(
        cell.units,
        recurrent_activation=cell.recurrent_activation.value,
        return_sequences=layer.return_sequences,  # type: ignore[union-attr]
    )


def _loaded(model: LabModel) -> str:
    try:
        keras.models.load_model(model.case.source, compile=False)
    except (ValueError, TypeError) as e:
        return f"not loadable: {type(e).__name__}"
    return "loads"


SECTIONS = {"": tables, "hard_sigmoid": hard_sigmoid}
"""The sections of the README that are made here, by name."""


if __name__ == "__main__":
    write()
