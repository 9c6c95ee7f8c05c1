from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import rnn_migrator
from rnn_migrator.errors import UsageError
from rnn_migrator.keras_model import cudnn
from rnn_migrator.keras_model.activations import legacy_hard_sigmoid
from rnn_migrator.keras_model.layers import PortableGRU, PortableLSTM
from tests.keras_model import emulate
from tests.keras_model.slopes import worst_gradient_error

BATCH, TIME, INPUTS, UNITS = 4, 7, 5, 3
STOCK = {PortableLSTM: keras.layers.LSTM, PortableGRU: keras.layers.GRU}
MASKS = {
    "none": None,
    "ragged": np.arange(TIME) < np.array([[7], [3], [0], [1]]),
    "short": np.arange(TIME) < np.array([[2], [3], [0], [1]]),
}
kinds = pytest.mark.parametrize("kind", STOCK)
devices = pytest.mark.parametrize("device", ["portable", "gpu"])
Differ = Callable[..., float]


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Puts the numpy cuDNN in place of the op, and collects the modes it was traced with."""
    modes: list[str] = []

    def rnn(*args: Any) -> Any:
        modes.append(args[-1])
        return emulate(*args)

    monkeypatch.setattr(cudnn, "rnn", rnn)
    return modes


def sequences(seed: int = 5) -> Any:
    return np.random.default_rng(seed).normal(size=(BATCH, TIME, INPUTS))


def initial_state(layer: Any) -> list[Any]:
    count = 2 if isinstance(layer, keras.layers.LSTM) else 1
    rng = np.random.default_rng(6)
    return [tf.constant(rng.normal(size=(BATCH, UNITS)), layer.dtype) for _ in range(count)]


def randomised(layer: Any, seed: int = 7) -> Any:
    """The layer, built, with weights that no permutation leaves alone."""
    rng = np.random.default_rng(seed)
    if not layer.built:
        layer.build((BATCH, TIME, INPUTS))
    layer.set_weights([rng.normal(0, 0.6, weight.shape) for weight in layer.get_weights()])
    return layer


def pair(kind: Any, device: str = "portable", **options: Any) -> tuple[Any, Any]:
    """One of our layers and the stock layer with the same arguments and weights, in float64."""
    options = {"dtype": "float64", **options}
    ours = randomised(kind(UNITS, device=device, **options))
    return ours, randomised(STOCK[kind](UNITS, use_cudnn=False, **options))


def flat(values: Any) -> list[Any]:
    return [np.asarray(value) for value in tf.nest.flatten(values)]


def difference(received: Any, expected: Any) -> float:
    pairs = list(zip(flat(received), flat(expected), strict=True))
    assert all(got.shape == want.shape for got, want in pairs)
    return max(float(np.max(np.abs(got - want))) for got, want in pairs)


def in_graph(layer: Any, **options: Any) -> Callable[..., Any]:
    """The layer as a graph with an unknown batch and time."""

    @tf.function(autograph=False)
    def call(x: Any, mask: Any = None, state: Any = None) -> Any:
        return layer(x, mask=mask, initial_state=state, **options)

    def run(x: Any, mask: Any = None, state: Any = None) -> Any:
        return call(tf.constant(x, layer.dtype), None if mask is None else tf.constant(mask), state)

    return run


# --- The cuDNN branch, with the emulation in place of the op ---


@kinds
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_cudnn_gives_what_the_loop_gives(
    emulated: list[str], kind: Any, mask: str, go_backwards: bool
) -> None:
    for return_sequences, zeros in itertools.product([False, True], repeat=2):
        ours, stock = pair(
            kind,
            "gpu",
            go_backwards=go_backwards,
            return_sequences=return_sequences,
            return_state=True,
            zero_output_for_mask=zeros,
        )
        state = None if zeros else initial_state(ours)
        expected = stock(sequences(), mask=MASKS[mask], initial_state=state)
        received = in_graph(ours)(sequences(), MASKS[mask], state)
        assert difference(received, expected) < 1e-12
    assert len(emulated) == 4


@kinds
@pytest.mark.parametrize("go_backwards", [False, True])
def test_a_mask_that_is_not_right_padded_goes_through_the_loop(
    monkeypatch: pytest.MonkeyPatch, kind: Any, go_backwards: bool
) -> None:
    def refuse(x: Any, states: list[Any], *_: Any) -> Any:
        def fail() -> Any:
            raise ValueError("cuDNN ran")

        outputs = tf.numpy_function(fail, [], x.dtype)
        return tf.reshape(outputs, [*x.shape[:2], UNITS]), states

    monkeypatch.setattr(cudnn, "rnn", refuse)
    ours, stock = pair(kind, "gpu", go_backwards=go_backwards, return_state=True)
    mask = MASKS["ragged"].copy()
    run = in_graph(ours)
    with pytest.raises(tf.errors.OpError, match="cuDNN ran"):
        run(sequences(), mask)
    mask[0, 2] = False
    assert difference(run(sequences(), mask), stock(sequences(), mask=mask)) < 1e-12


@kinds
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_bidirectional_cudnn_gives_what_bidirectional_loops_give(
    emulated: list[str], kind: Any, mask: str, return_sequences: bool
) -> None:
    options = {"return_sequences": return_sequences, "return_state": True, "dtype": "float64"}
    ours, stock = (
        randomised(keras.layers.Bidirectional(layer, dtype="float64"))
        for layer in (
            kind(UNITS, device="gpu", **options),
            STOCK[kind](UNITS, use_cudnn=False, **options),
        )
    )
    received = in_graph(ours)(sequences(), MASKS[mask])
    assert difference(received, stock(sequences(), mask=MASKS[mask])) < 1e-12
    assert len(emulated) == 2


@kinds
def test_a_mask_may_have_a_last_axis(emulated: list[str], kind: Any) -> None:
    ours, stock = pair(kind, "gpu", return_sequences=True)
    mask = MASKS["ragged"]
    received = in_graph(ours)(sequences(), mask[..., np.newaxis])
    assert difference(received, stock(sequences(), mask=mask)) < 1e-12


@kinds
def test_input_dropout_is_that_of_the_loop(emulated: list[str], kind: Any) -> None:
    ours, stock = pair(kind, "gpu", dropout=0.4, seed=21, return_sequences=True)
    expected = stock(sequences(), training=True)
    assert difference(in_graph(ours, training=True)(sequences()), expected) < 1e-12
    assert difference(in_graph(ours, training=False)(sequences()), expected) > 1e-2


@kinds
def test_the_graph_takes_the_branch_of_its_device(
    emulated: list[str], monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    choose = tf.__internal__.execute_fn_for_device

    def fused_on_cpu(branches: dict[str, Any], loop: Any) -> Any:
        return choose({"CPU": branches["GPU"]}, loop)

    ours, stock = pair(kind, return_sequences=True, return_state=True)
    expected = stock(sequences(), mask=MASKS["ragged"])
    for chosen, calls in ((choose, 0), (fused_on_cpu, 1)):
        monkeypatch.setattr(tf.__internal__, "execute_fn_for_device", chosen)
        assert difference(ours(sequences(), mask=MASKS["ragged"]), expected) < 1e-12
        assert len(emulated) == calls
        assert difference(in_graph(ours)(sequences(), MASKS["ragged"]), expected) < 1e-12
        emulated.clear()


@kinds
def test_wrong_masks_are_noticed(
    emulated: list[str], monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    ours, stock = pair(kind, "gpu", return_sequences=True, zero_output_for_mask=True)
    held = pair(kind, "gpu", return_sequences=True)[0]
    expected = stock(sequences(), mask=MASKS["ragged"])
    assert difference(in_graph(ours)(sequences(), MASKS["ragged"]), expected) < 1e-12
    assert difference(in_graph(ours)(sequences()), expected) > 1e-2
    assert difference(in_graph(held)(sequences(), MASKS["ragged"]), expected) > 1e-2


# --- The loop, on this machine without a GPU ---


@kinds
@devices
def test_eagerly_without_a_gpu_it_is_the_stock_layer(kind: Any, device: str) -> None:
    for go_backwards, mask in itertools.product([False, True], MASKS.values()):
        ours, stock = pair(
            kind, device, go_backwards=go_backwards, return_sequences=True, return_state=True
        )
        state = initial_state(ours)
        received = ours(sequences(), mask=mask, initial_state=state)
        assert difference(received, stock(sequences(), mask=mask, initial_state=state)) == 0


@kinds
@pytest.mark.parametrize("mask", ["none", "ragged"])
def test_gradients_through_the_choice_are_right(kind: Any, mask: str) -> None:
    ours, stock = pair(kind, return_sequences=True)
    weights = np.random.default_rng(8).normal(size=(BATCH, TIME, UNITS))
    gradients = [loss_gradients(layer, MASKS[mask], weights) for layer in (ours, stock)]
    assert difference(*gradients) < 1e-12

    rng = np.random.default_rng(9)
    directions = [rng.normal(size=weight.shape) for weight in ours.get_weights()]
    step, start = 1e-5, ours.get_weights()

    def loss(sign: int) -> float:
        moved = [w + sign * step * d for w, d in zip(start, directions, strict=True)]
        ours.set_weights(moved)
        return float(np.sum(ours(sequences(), mask=MASKS[mask]) * weights))

    slope = (loss(1) - loss(-1)) / (2 * step)
    products = zip(gradients[0], directions, strict=False)
    assert slope == pytest.approx(sum(float(np.sum(g * d)) for g, d in products), rel=1e-7)


def loss_gradients(layer: Any, mask: Any, weights: Any) -> list[Any]:
    """Gradients of a weighted sum of the outputs, in a graph, by weights, then by the input."""

    @tf.function(autograph=False)
    def gradients(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, mask=mask) * weights)
        return tape.gradient(loss, [*(w.value for w in layer.trainable_weights), x])

    return flat(gradients(tf.constant(sequences())))


@kinds
@pytest.mark.parametrize("mask", ["none", "ragged"])
def test_the_gradient_of_each_weight_is_its_slope(kind: Any, mask: str) -> None:
    options = {"return_sequences": True, "return_state": True}
    ours = pair(kind, **options)[0]
    assert worst_gradient_error(ours, sequences(), MASKS[mask]) < 1e-6
    wrong = pair(kind, activation=lambda x: tf.stop_gradient(tf.tanh(x)), **options)[0]
    assert worst_gradient_error(wrong, sequences()[:2], None) > 1e-3


@kinds
def test_states_are_kept_between_batches(kind: Any) -> None:
    ours, stock = pair(kind, stateful=True)
    first, second = ours(sequences(1)), ours(sequences(2))
    assert difference([first, second], [stock(sequences(1)), stock(sequences(2))]) == 0
    ours.reset_state()
    assert difference(ours(sequences(2)), second) > 1e-4


@kinds
def test_xla_takes_the_loop(kind: Any) -> None:
    ours, stock = pair(kind, dtype="float32", return_sequences=True)
    assert not ours.supports_jit
    call = tf.function(lambda x: ours(x, mask=MASKS["ragged"]), jit_compile=True, autograph=False)
    expected = stock(sequences().astype("float32"), mask=MASKS["ragged"])
    assert difference(call(tf.constant(sequences(), tf.float32)), expected) < 1e-6


@kinds
def test_half_precision_has_the_types_of_the_stock_layer(kind: Any) -> None:
    ours, stock = pair(kind, dtype="mixed_float16", return_sequences=True, return_state=True)
    received, expected = ours(sequences()), stock(sequences())
    assert [value.dtype for value in received] == [value.dtype for value in expected]
    assert difference(received, expected) == 0
    assert "CudnnRNNV3" in traced(ours)


# --- What stands in a graph ---


def operations(graph: Any) -> set[str]:
    """Names of all ops of a graph and its functions."""
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return {node.op for node in nodes}


def traced(layer: Any, mask: bool = False) -> set[str]:
    def call(x: Any, flags: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = layer(x, mask=flags if mask else None)
        return outputs, tape.gradient(outputs, layer.trainable_weights[0].value)

    spec = tf.TensorSpec([None, None, INPUTS], layer.compute_dtype)
    flags = tf.TensorSpec([None, None], tf.bool)
    function = tf.function(call, autograph=False).get_concrete_function(spec, flags)
    return operations(function.graph.as_graph_def())


@kinds
def test_a_portable_graph_holds_both_ways_and_a_stock_one_does_not(kind: Any) -> None:
    ours, stock = pair(kind)
    found = traced(ours, mask=True)
    assert {"CudnnRNNV3", "CudnnRNNBackpropV3", "DeviceIndex", "Case"} <= found
    assert found & {"While", "StatelessWhile"}
    assert not traced(stock, mask=True) & {"CudnnRNNV3", "DeviceIndex", "Case"}


@kinds
def test_a_gpu_graph_keeps_the_loop_only_for_masks(kind: Any) -> None:
    ours = pair(kind, "gpu")[0]
    found = traced(ours)
    assert {"CudnnRNNV3", "CudnnRNNBackpropV3"} <= found
    assert not found & {"DeviceIndex", "Case", "While", "StatelessWhile"}
    assert traced(ours, mask=True) & {"While", "StatelessWhile"}


@kinds
@devices
@pytest.mark.parametrize(
    "options",
    [{"recurrent_activation": legacy_hard_sigmoid}, {"use_bias": False}, {"unroll": True}],
)
def test_a_layer_that_cudnn_cannot_compute_is_the_stock_layer(
    kind: Any, device: str, options: dict[str, Any]
) -> None:
    ours, stock = pair(kind, device, return_sequences=True, **options)
    assert ours.supports_jit
    received = in_graph(ours)(sequences(), MASKS["ragged"])
    assert difference(received, in_graph(stock)(sequences(), MASKS["ragged"])) == 0
    if "unroll" not in options:
        assert not traced(ours) & {"CudnnRNNV3", "DeviceIndex"}


@kinds
@devices
@pytest.mark.parametrize("return_sequences", [False, True])
def test_shapes_of_a_graph_are_those_of_the_stock_layer(
    kind: Any, device: str, return_sequences: bool
) -> None:
    def shapes(layer: Any) -> list[Any]:
        def call(x: Any, mask: Any) -> Any:
            return layer(x, mask=mask)

        specs = [
            tf.TensorSpec([None, None, INPUTS], tf.float64),
            tf.TensorSpec([None, None], tf.bool),
        ]
        function = tf.function(call, autograph=False).get_concrete_function(*specs)
        return [shape.as_list() for shape in tf.nest.flatten(function.output_shapes)]

    ours, stock = pair(kind, device, return_sequences=return_sequences, return_state=True)
    assert shapes(ours) == shapes(stock)


# --- Configuration, files, other processes ---


@kinds
@devices
def test_the_device_survives_configuration_and_bidirectional(kind: Any, device: str) -> None:
    layer = kind(UNITS, device=device, name="decoder", return_sequences=True)
    config = layer.get_config()
    assert config["device"] == device
    assert kind.from_config(config).get_config() == config
    wrapped = keras.layers.Bidirectional(layer)
    wrapped = keras.layers.Bidirectional.from_config(wrapped.get_config())
    for part, prefix in ((wrapped.forward_layer, "forward"), (wrapped.backward_layer, "backward")):
        assert (type(part), part.device, part.use_cudnn) == (kind, device, False)
        assert part.name == f"{prefix}_decoder"


@kinds
def test_an_unknown_device_is_refused(kind: Any) -> None:
    with pytest.raises(UsageError, match=r"portable or gpu\. Received: 'cpu'"):
        kind(UNITS, device="cpu")


def make_model(device: str) -> keras.Model:
    inputs = keras.Input((None, INPUTS), name="inputs")
    mask = keras.Input((None,), dtype="bool", name="mask")
    x = PortableLSTM(UNITS, device=device, return_sequences=True)(inputs, mask=mask)
    gru = PortableGRU(UNITS + 1, device=device, return_sequences=True)
    x = keras.layers.Bidirectional(gru)(x, mask=mask)
    hard = PortableLSTM(
        2, device=device, recurrent_activation=legacy_hard_sigmoid, return_sequences=True
    )
    return randomised(keras.Model([inputs, mask], hard(x, mask=mask)))


def export(model: keras.Model, path: Path) -> Any:
    """Writes a SavedModel and gives its graph."""

    @tf.function(autograph=False)
    def serve(inputs: Any, sequence_length: Any) -> dict[str, Any]:
        mask = tf.sequence_mask(sequence_length, tf.shape(inputs)[1])
        return {"outputs": model([inputs, mask])}

    signature = serve.get_concrete_function(
        tf.TensorSpec([None, None, INPUTS], tf.float32, "inputs"),
        tf.TensorSpec([None], tf.int32, "sequence_length"),
    )
    module = tf.Module()
    module.serve = serve
    # A v1 session restores TensorFlow's own variables; it does not find those of a Keras model.
    module.weights = [variable.value for variable in model.trainable_variables]
    tf.saved_model.save(module, str(path), {"serving_default": signature})
    return tf.saved_model.load(str(path)).signatures["serving_default"].graph.as_graph_def()


def test_a_model_for_gpus_is_exported_and_checked_without_one(tmp_path: Path) -> None:
    model = make_model("gpu")
    found = operations(export(model, tmp_path / "saved_model"))
    assert "CudnnRNNV3" in found
    assert "DeviceIndex" not in found
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    call = [tf.constant(sequences(), tf.float32), tf.constant(MASKS["ragged"])]
    assert difference(again(call), model(call)) == 0


FRESH_PROCESS = """
import sys
import numpy as np
import tensorflow as tf

data = np.load("data.npz")
inputs, lengths = data["inputs"], data["lengths"]
results = {}
loaded = tf.saved_model.load("saved_model")
served = loaded.signatures["serving_default"]
answer = served(inputs=tf.constant(inputs), sequence_length=tf.constant(lengths))
results["eager"] = answer["outputs"].numpy()


@tf.function
def tune():
    with tf.GradientTape() as tape:
        answer = served(inputs=tf.constant(inputs), sequence_length=tf.constant(lengths))
        loss = tf.reduce_sum(tf.square(answer["outputs"]))
    return tape.gradient(loss, loaded.weights)


slopes = [slope.numpy() for slope in tune()]
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.load(session, ["serve"], "saved_model")
    signature = meta.signature_def["serving_default"]
    feeds = {signature.inputs["inputs"].name: inputs,
             signature.inputs["sequence_length"].name: lengths}
    results["session"] = session.run(signature.outputs["outputs"].name, feeds)
assert "rnn_migrator" not in sys.modules

import keras
import rnn_migrator.keras_model.layers

model = keras.models.load_model("model.keras")
mask = np.arange(inputs.shape[1]) < lengths[:, None]
results["keras"] = model([tf.constant(inputs), tf.constant(mask)]).numpy()
np.savez("results.npz", **results)
np.savez("slopes.npz", *slopes)
"""


@pytest.mark.slow
def test_another_process_without_a_gpu_runs_what_was_exported(tmp_path: Path) -> None:
    model = make_model("portable")
    assert {"CudnnRNNV3", "DeviceIndex", "Case"} <= operations(
        export(model, tmp_path / "saved_model")
    )
    model.save(tmp_path / "model.keras")
    inputs = sequences().astype("float32")
    lengths = MASKS["ragged"].sum(axis=1).astype("int32")
    np.savez(tmp_path / "data.npz", inputs=inputs, lengths=lengths)
    component = str(Path(rnn_migrator.__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": component},
        check=True,
    )
    expected = model([tf.constant(inputs), tf.constant(MASKS["ragged"])])
    with np.load(tmp_path / "results.npz") as results:
        for received in results.values():
            assert difference(received, expected) < 1e-6
    with tf.GradientTape() as tape:
        answer = model([tf.constant(inputs), tf.constant(MASKS["ragged"])])
        loss = tf.reduce_sum(tf.square(answer))
    with np.load(tmp_path / "slopes.npz") as slopes:
        wanted = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        assert difference(list(slopes.values()), wanted) < 1e-5
