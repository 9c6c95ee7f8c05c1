"""A Keras file to a canonical model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rnn_migrator.canonical import (
    CanonicalModel,
    Fact,
    HeadLayer,
    Layer,
    ModelInput,
    Node,
    RecurrentLayer,
    TimeDistributed,
    map_recurrent,
)
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.layouts.heads import REPLACEMENTS
from rnn_migrator.layouts.heads.masking import masked_values
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.keras1_config import all_layers, is_keras1, to_keras2
from rnn_migrator.recognition.keras_cells import repeats_masked_outputs, written_by
from rnn_migrator.recognition.keras_config import (
    Call,
    LayerConfig,
    Topology,
    read_topology,
    rename_inputs,
)
from rnn_migrator.recognition.keras_layers import PER_STEP, LayerSource, build_layer, is_recurrent
from rnn_migrator.recognition.keras_weights import Names, weights_by_layer
from rnn_migrator.recognition.releases import Release
from rnn_migrator.recognition.settings import Settings


def recognise_keras(artifact: LegacyArtifact, settings: Settings) -> CanonicalModel:
    """The canonical model of a Keras file.

    Raises:
      UnsupportedError: Every layer that stands in the way, at once.
    """
    topology, is_keras1 = keras_topology(artifact)
    recurrent = [layer.name for layer in every_layer(topology) if is_recurrent(layer)]
    settings.check_layers(
        [*map(str, range(len(recurrent))), *(layer.name for layer in every_layer(topology))]
    )
    weights = weights_by_layer(artifact, topology)
    builder = _Builder(weights, LayerSource(artifact, (), settings, is_keras1), recurrent)
    model = builder.model(topology)
    problems = builder.problems + ([] if recurrent else [_nothing_recurrent(topology)])
    problems += _states_of_stacks(topology, written_by(artifact.keras_version, settings))
    raise_all(UnsupportedError, [*problems, *_without_batch_size(model)])
    return _with_masked_directions(model, written_by(artifact.keras_version, settings))


def keras2_config(artifact: LegacyArtifact) -> tuple[Mapping[str, Any], bool]:
    """The config of a Keras file as Keras 2 spells it, and whether Keras 1 wrote it.

    Raises:
      UnsupportedError: There is none, or Keras 2 has no words for it.
    """
    config = artifact.model_config
    if config is None:
        raise UnsupportedError(_no_architecture(artifact))
    if not is_keras1(config, artifact.keras_version):
        return config, False
    translated, problems = to_keras2(
        config,
        artifact.backend,
        keras_version=artifact.keras_version,
        layer_names=list(artifact.layers),
    )
    raise_all(UnsupportedError, problems)
    return translated, True


def keras_topology(artifact: LegacyArtifact) -> tuple[Topology, bool]:
    """The layers and calls of a Keras file, and whether Keras 1 wrote it.

    Raises:
      UnsupportedError: There is no config, or not one of layers that can be told apart.
    """
    config, written_by_keras1 = keras2_config(artifact)
    topology = read_topology(config)
    if written_by_keras1:
        topology = _with_names_of_keras1(topology, artifact.model_config or {})
    return topology, written_by_keras1


def _with_names_of_keras1(topology: Topology, config: Mapping[str, Any]) -> Topology:
    """The inputs of a Sequential model as Keras 1 called them: by class and count.

    Source: `Layer.create_input_layer`, keras/engine/topology.py, 1.2.2. No file states them.
    """
    if config.get("class_name") != "Sequential":
        return topology
    classes = {
        layer["config"].get("name"): layer["class_name"]
        for layer in all_layers(config)
        if isinstance(layer["config"], dict)
    }
    counts: dict[str, int] = {}
    renamed = {}
    for source in topology.inputs:
        class_name = classes.get(source.name.removesuffix("_input"))
        if class_name is not None:
            prefix = f"{str(class_name).lower()}_input_"
            counts[prefix] = counts.get(prefix, 0) + 1
            renamed[source.name] = f"{prefix}{counts[prefix]}"
    return rename_inputs(topology, renamed)


def every_layer(topology: Topology, prefix: str = "") -> list[LayerConfig]:
    """Every layer with its full name, those that `TimeDistributed` applies included."""
    found = []
    for layer in topology.layers:
        named = dataclasses.replace(layer, name=f"{prefix}{layer.name}")
        found.append(named)
        if layer.inner is not None:
            found += every_layer(layer.inner, f"{named.name}/")
        found += [inner for inner in [_step(named)] if inner is not None]
    return found


def _step(layer: LayerConfig) -> LayerConfig | None:
    """The layer that `TimeDistributed` applies, unless it is the same without `TimeDistributed`."""
    inside = layer.config.get("layer")
    if layer.class_name != "TimeDistributed" or layer.inner or not isinstance(inside, dict):
        return None
    if inside["class_name"] in PER_STEP:
        return None
    return LayerConfig(f"{layer.name}/step", inside["class_name"], inside["config"])


class _Builder:
    """Builds each layer once, and gathers what stands in the way."""

    def __init__(
        self, weights: Mapping[str, Names], source: LayerSource, recurrent: list[str]
    ) -> None:
        self.problems: list[Problem] = []
        self._weights = weights
        self._source = source
        self._recurrent = recurrent
        self._built: dict[str, Layer | None] = {}
        self._swaps: dict[str, HeadLayer] = {}

    def model(self, topology: Topology, prefix: str = "") -> CanonicalModel:
        """The model as far as it could be built; `problems` says what is missing."""
        nodes: list[Node] = []
        renamed: dict[str, str] = {}
        for call in topology.calls:
            layer = self._layer(call.layer, prefix)
            if layer is None:
                continue
            inbound, initial = (
                tuple(
                    renamed.get(value, f"{prefix}{value}" if prefix else value) for value in values
                )
                for values in (call.inbound, call.initial_state)
            )
            if _is_time_major(call.layer):
                nodes += self._with_swaps(layer, inbound, initial, call)
                renamed[call.value] = nodes[-1].name
            else:
                nodes.append(Node(layer, inbound, initial, call.number))
        outputs = {
            name: renamed.get(value, f"{prefix}{value}" if prefix else value)
            for name, value in topology.outputs.items()
        }
        inputs = tuple(dataclasses.replace(i, name=f"{prefix}{i.name}") for i in topology.inputs)
        return CanonicalModel(
            _with_widths(inputs, nodes), tuple(nodes), outputs, bare_weights=False
        )

    def _with_swaps(
        self, layer: Layer, inbound: tuple[str, ...], initial: tuple[str, ...], call: Call
    ) -> list[Node]:
        """A layer that takes the time axis first, between two swaps of the first axes."""
        first = Node(self._swap(f"{layer.name}/batch_first"), inbound, call=call.number)
        nodes = [first, Node(layer, (first.name,), initial, call.number)]
        if isinstance(layer, RecurrentLayer) and layer.return_sequences:
            back = self._swap(f"{layer.name}/time_first")
            nodes.append(Node(back, (nodes[-1].name,), call=call.number))
        return nodes

    def _swap(self, name: str) -> Layer:
        """One layer, however often it is called."""
        if name not in self._swaps:
            self._swaps[name] = HeadLayer(name, _SWAP, {})
        return self._swaps[name]

    def _layer(self, layer: LayerConfig, prefix: str) -> Layer | None:
        """The layer, or None where something stands in its way."""
        name = f"{prefix}{layer.name}"
        if name not in self._built:
            try:
                self._built[name] = self._new(dataclasses.replace(layer, name=name))
            except UnsupportedError as e:
                self.problems += e.problems
                self._built[name] = None
        return self._built[name]

    def _new(self, layer: LayerConfig) -> Layer:
        if layer.inner is not None:
            return TimeDistributed(layer.name, self.model(layer.inner, f"{layer.name}/"))
        inner = _step(layer)
        name = inner.name if inner else layer.name
        index = self._recurrent.index(name) if name in self._recurrent else -1
        names = self._weights.get(layer.name, ())
        source = dataclasses.replace(self._source, names=names, index=index)
        if inner is not None:
            return _every_step(layer.name, build_layer(inner, source))
        return build_layer(layer, source)


def _every_step(name: str, layer: RecurrentLayer | HeadLayer) -> TimeDistributed:
    """A layer that is applied to every time step, as a model of that layer alone."""
    source = ModelInput(f"{name}/input", (None, None))
    node = Node(layer, (source.name,))
    return TimeDistributed(name, CanonicalModel((source,), (node,), {name: node.name}, False))


_SWAP = REPLACEMENTS["SwapBatchTime"].class_name


def _is_time_major(layer: LayerConfig) -> bool:
    config = (
        layer.config["layer"]["config"] if layer.class_name == "Bidirectional" else layer.config
    )
    return is_recurrent(layer) and bool(config.get("time_major"))


def _with_widths(inputs: tuple[ModelInput, ...], nodes: list[Node]) -> tuple[ModelInput, ...]:
    """Inputs whose width the config leaves open take it from the layer that reads them.

    The batch size is fixed only where a layer keeps its states from batch to batch.
    """
    layers = [node.layer for node in nodes]
    fixed = any(isinstance(layer, RecurrentLayer) and layer.stateful for layer in layers)
    widths = {
        node.inbound[0]: node.layer.input_size
        for node in nodes
        if isinstance(node.layer, RecurrentLayer)
    }
    return tuple(
        dataclasses.replace(
            source,
            shape=(*source.shape[:-1], widths[source.name])
            if source.shape and source.shape[-1] is None and source.name in widths
            else source.shape,
            batch=source.batch if fixed else None,
        )
        for source in inputs
    )


def _with_masked_directions(model: CanonicalModel, release: Fact[Release] | None) -> CanonicalModel:
    """The model with what the release gives for masked steps of `Bidirectional` sequences.

    Keras up to 2.3, and tf.keras up to 1.12, repeat the previous output of each direction there;
    tf.keras since 1.13 gives zeros. (Run: Keras 1.2.2 to 2.3.1, tf.keras 1.4 to 2.15.)

    Raises:
      UnsupportedError: There is such a layer, and nobody says which release it is of.
    """
    masked = masked_values(model)
    behind = {node.layer.name for node in model.nodes if node.inbound and node.inbound[0] in masked}
    both = [layer for layer in model.recurrent_layers if layer.backward and layer.return_sequences]
    affected = [layer.name for layer in both if layer.name in behind]
    if release is None:
        raise_all(UnsupportedError, map(_masked_bidirectional, affected))
    zeros = release is None or not repeats_masked_outputs(release.value)

    def stated(layer: RecurrentLayer) -> RecurrentLayer:
        if layer not in both:
            return layer
        gives_zeros = zeros or layer.name not in affected  # without a mask either will do
        return dataclasses.replace(layer, zero_output_for_mask=gives_zeros)

    return map_recurrent(model, stated)


def _masked_bidirectional(name: str) -> Problem:
    return Problem(
        where=f"layer {name!r}",
        expected="a release that is known, since the releases differ in what a "
        "Bidirectional(return_sequences=True) behind a mask gives at masked steps",
        received="no release in the file",
        remedy="--set writer=keras-2.2 or --set writer=tf.keras-1.15",
    )


def _states_of_stacks(topology: Topology, release: Fact[Release] | None) -> list[Problem]:
    """`RNN` of several cells whose states are read or given, where their order is not known.

    Keras 2.0 to 2.2.2 and tf.keras up to 1.12 count the states from the top cell, later releases
    from the bottom one (`StackedRNNCells.state_size`).
    """
    since = {"keras": (2, 3), "tf.keras": (1, 13), "tensorflow": (1, 13)}
    known = release is not None and release.value.version >= since[release.value.framework]
    stated = {call.layer.name for call in topology.calls if call.initial_state}
    return [
        Problem(
            where=f"layer {layer.name!r}",
            expected="states of a stack of cells in an order that is known, bottom cell first",
            received=str(release.value if release else "no release in the file")
            + (", reverse_state_order" if stack.get("reverse_state_order") else ""),
            remedy="if they come bottom cell first: --set writer=keras-2.3; else build this part "
            "in tf.keras and fill it with rnn_migrator.warm_start",
        )
        for layer in every_layer(topology)
        for stack in [_stacked_cells(layer)]
        if stack is not None and (layer.config.get("return_state") or layer.name in stated)
        if not known or stack.get("reverse_state_order")
    ]


def _stacked_cells(layer: LayerConfig) -> Mapping[str, Any] | None:
    cell = layer.config.get("cell") if layer.class_name == "RNN" else None
    if not isinstance(cell, dict) or cell.get("class_name") != "StackedRNNCells":
        return None
    return dict(cell["config"])


def _without_batch_size(model: CanonicalModel) -> list[Problem]:
    """Stateful layers keep a state for each row, so that they need to know how many there are."""
    open_inputs = [source.name for source in model.inputs if source.batch is None]
    return [
        Problem(
            where=f"layer {layer.name!r}",
            expected="a fixed batch size, since the layer is stateful",
            received=f"inputs of any batch: {', '.join(open_inputs)}",
            remedy="name the architecture the weights were saved with: --architecture FILE; or "
            "set stateful to false in it, and feed states by return_state and initial_state",
        )
        for layer in model.recurrent_layers
        if layer.stateful and open_inputs
    ]


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
