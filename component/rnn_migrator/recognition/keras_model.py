"""A Keras 2 HDF5 file to a canonical model."""

from __future__ import annotations

import dataclasses

from rnn_migrator.canonical import CanonicalModel, ModelInput, Node, RecurrentLayer
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.layouts.heads import HEADS
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.keras_config import Topology, read_topology
from rnn_migrator.recognition.keras_layers import build_layer, is_recurrent
from rnn_migrator.recognition.settings import Settings


def recognise_keras(artifact: LegacyArtifact, settings: Settings) -> CanonicalModel:
    """The canonical model of a Keras file.

    Raises:
      UnsupportedError: Every layer that stands in the way, at once.
    """
    if artifact.model_config is None:
        raise UnsupportedError(_no_architecture(artifact))
    topology, problems = read_topology(artifact.model_config)
    if topology is None:
        raise UnsupportedError(*problems)
    recurrent = [layer.name for layer in topology.layers if is_recurrent(layer)]
    settings.check_layers([*map(str, range(len(recurrent))), *recurrent])
    nodes = []
    for layer in topology.layers:
        index = recurrent.index(layer.name) if layer.name in recurrent else -1
        try:
            nodes.append(Node(build_layer(artifact, layer, index, settings), layer.inbound))
        except UnsupportedError as e:
            problems += e.problems
    problems += [] if recurrent else [_nothing_recurrent(topology)]
    raise_all(UnsupportedError, problems)
    inputs = _with_widths(topology, nodes)
    model = CanonicalModel(inputs, tuple(nodes), topology.outputs, bare_weights=False)
    raise_all(UnsupportedError, _masked_both_ways(model))
    return model


def _with_widths(topology: Topology, nodes: list[Node]) -> tuple[ModelInput, ...]:
    """Inputs whose width the config leaves open take it from the layer that reads them."""
    widths = {
        node.inbound[0]: node.layer.forward.cell.input_size
        for node in nodes
        if isinstance(node.layer, RecurrentLayer)
    }
    return tuple(
        dataclasses.replace(source, shape=(*source.shape[:-1], widths[source.name]))
        if source.shape[-1] is None and source.name in widths
        else source
        for source in topology.inputs
    )


def _masked_both_ways(model: CanonicalModel) -> list[Problem]:
    """Bidirectional sequences under a mask: the releases disagree about masked outputs."""
    masked: set[str] = set()
    problems = []
    for node in model.nodes:
        layer = node.layer
        has_mask = masked.intersection(node.inbound)
        if isinstance(layer, RecurrentLayer):
            if has_mask and layer.backward is not None and layer.return_sequences:
                problems.append(_masked_bidirectional(layer.name))
            passes = layer.return_sequences
        else:
            makes_mask = layer.class_name == "Masking" or layer.config.get("mask_zero")
            passes = HEADS[layer.class_name].passes_mask
            has_mask = has_mask or ({layer.name} if makes_mask else set())
            passes = passes or bool(makes_mask)
        if has_mask and passes:
            masked.add(layer.name)
    return problems


def _masked_bidirectional(name: str) -> Problem:
    return Problem(
        where=f"layer {name!r}",
        expected="a Bidirectional layer without a mask, or one that returns its last output only",
        received="Bidirectional(return_sequences=True) behind a mask, whose masked outputs differ "
        "between the releases of Keras 2",
        remedy="use rnn_migrator.warm_start to fill a layer of your own that masks as you need",
    )


def _nothing_recurrent(topology: Topology) -> Problem:
    return Problem(
        where="model config",
        expected="at least one recurrent layer",
        received=", ".join(layer.class_name for layer in topology.layers) or "no layers",
        remedy="a model without recurrent layers needs no migration of this kind",
    )


def _no_architecture(artifact: LegacyArtifact) -> Problem:
    layers = ", ".join(name for name, weights in artifact.layers.items() if weights)
    return Problem(
        where=str(artifact.path),
        expected="a model config in the file, or --architecture FILE",
        received=f"weights only, of the layers {layers}",
        remedy="name the file with the model's to_json() text: --architecture model.json. To fill "
        "layers of your own from these weights, use rnn_migrator.warm_start",
    )
