"""The cells in the layers of Keras against the definitions of TensorFlow 1, in float64."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.keras_model.cells import LayerNormLSTMCell
from tests.keras_model.cells import tf1
from tests.keras_model.cells.examples import (
    BATCH,
    BUILDERS,
    EXAMPLES,
    INPUTS,
    MASKS,
    PROJECTION,
    TIME,
    UNITS,
    Example,
    sequences,
)

AGREES, DIFFERS = 1e-12, 1e-3

examples = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


def layer(example: Example, **options: Any) -> Any:
    options = {"return_sequences": True, "return_state": True, "dtype": "float64", **options}
    return keras.layers.RNN(example.cell(dtype=options["dtype"]), **options)


def difference(received: Any, expected: Any) -> float:
    pairs = list(zip(tf.nest.flatten(received), tf.nest.flatten(expected), strict=True))
    assert all(tuple(got.shape) == tuple(want.shape) for got, want in pairs)
    return max(float(np.max(np.abs(np.asarray(got) - want))) for got, want in pairs)


@examples
@pytest.mark.parametrize("mask", MASKS)
def test_a_layer_computes_what_tensorflow_1_defines(example: Example, mask: str) -> None:
    for zeros, go_backwards, started in itertools.product([False, True], repeat=3):
        ours = layer(example, zero_output_for_mask=zeros, go_backwards=go_backwards)
        states = example.initial_states() if started else example.zero_states()
        received = ours(sequences(), mask=MASKS[mask], initial_state=states if started else None)
        expected = tf1.unroll(
            example.step, sequences(), states, MASKS[mask], zeros=zeros, go_backwards=go_backwards
        )
        assert difference(received, expected) < AGREES
        assert ours.compute_output_shape((BATCH, TIME, INPUTS)) == tuple(
            value.shape for value in expected
        )


@examples
def test_masks_directions_and_states_make_a_difference(example: Example) -> None:
    settings: list[dict[str, Any]] = [{}, {"zeros": False}, {"go_backwards": True}]
    x, mask = sequences(), MASKS["ragged"]
    results = [tf1.unroll(example.step, x, example.zero_states(), mask, **s) for s in settings]
    results.append(tf1.unroll(example.step, x, example.initial_states(), mask))
    results.append(tf1.unroll(example.step, x, example.zero_states()))
    for one, other in itertools.combinations(results, 2):
        assert difference(one, other) > DIFFERS


@pytest.mark.parametrize(
    ("name", "mistake"),
    [(name, mistake) for name, example in EXAMPLES.items() for mistake in example.mistakes],
)
def test_a_mistake_in_a_formula_is_noticed(name: str, mistake: str) -> None:
    example = EXAMPLES[name]
    received = layer(example)(sequences(), initial_state=example.initial_states())
    wrong = tf1.unroll(example.step, sequences(), example.initial_states(), mistake=mistake)
    assert difference(received, wrong) > DIFFERS


def test_every_mistake_is_tried_somewhere() -> None:
    tried = {mistake for example in EXAMPLES.values() for mistake in example.mistakes}
    assert tried == {mistake for mistakes in tf1.MISTAKES.values() for mistake in mistakes}


@examples
def test_each_weight_has_its_place(example: Example) -> None:
    ours = layer(example)
    assert [weight.name for weight in ours.cell.weights] == list(example.weights)
    assert [weight.shape for weight in ours.cell.weights] == [
        weight.shape for weight in example.weights.values()
    ]
    call = tf.function(lambda: ours(sequences(), mask=MASKS["ragged"]), autograph=False)
    expected = call()
    for weight in ours.cell.weights:
        value = weight.numpy()
        weight.assign(np.flip(value, axis=-1))
        assert difference(call(), expected) > DIFFERS
        weight.assign(value)


@examples
def test_a_graph_with_unknown_batch_and_time_computes_the_same(example: Example) -> None:
    ours = layer(example)
    specs = [tf.TensorSpec([None, None, INPUTS], "float64"), tf.TensorSpec([None, None], "bool")]
    call = tf.function(lambda x, mask: ours(x, mask=mask), autograph=False, input_signature=specs)
    received = call(sequences(), MASKS["ragged"])
    assert difference(received, ours(sequences(), mask=MASKS["ragged"])) < AGREES
    assert difference(received, ours(sequences())) > DIFFERS


@examples
@pytest.mark.parametrize("mask", MASKS)
def test_the_last_output_alone(example: Example, mask: str) -> None:
    for zeros in (False, True):
        ours = layer(
            example, return_sequences=False, return_state=False, zero_output_for_mask=zeros
        )
        outputs, *_ = tf1.unroll(
            example.step, sequences(), example.zero_states(), MASKS[mask], zeros=zeros
        )
        assert difference(ours(sequences(), mask=MASKS[mask]), outputs[:, -1]) < AGREES


@examples
def test_single_precision_is_near(example: Example) -> None:
    received = layer(example, dtype="float32")(sequences().astype("float32"), mask=MASKS["ragged"])
    expected = tf1.unroll(
        example.step, sequences(), example.zero_states(), MASKS["ragged"], zeros=False
    )
    assert {value.dtype for value in received} == {tf.float32}
    assert difference(received, expected) < 1e-5


@examples
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_its_types(example: Example, dtype: str) -> None:
    ours = layer(example, dtype=dtype)
    received = ours(sequences(), mask=MASKS["ragged"])
    assert {value.dtype.name for value in received} == {dtype.removeprefix("mixed_")}
    assert {weight.dtype for weight in ours.weights} == {"float32"}
    expected = layer(example)(sequences(), mask=MASKS["ragged"])
    received = [tf.cast(value, tf.float64) for value in received]
    assert difference(received, expected) < 0.1


@examples
def test_xla_computes_the_same(example: Example) -> None:
    ours = layer(example)
    call = tf.function(lambda x: ours(x, mask=MASKS["ragged"]), autograph=False, jit_compile=True)
    x = tf.constant(sequences())
    assert difference(call(x), ours(x, mask=MASKS["ragged"])) < AGREES


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("mask", ["none", "ragged"])
def test_both_directions(name: str, mask: str) -> None:
    forward, backward = EXAMPLES[name], BUILDERS[name](17, INPUTS)
    ours = keras.layers.Bidirectional(
        layer(forward), backward_layer=layer(backward, go_backwards=True), dtype="float64"
    )
    ours.build((BATCH, TIME, INPUTS))
    # Bidirectional makes its forward layer again, from the config.
    ours.set_weights([*forward.weights.values(), *backward.weights.values()])
    x, flags = sequences(), MASKS[mask]
    received = ours(x, mask=flags)
    states = forward.zero_states()
    one, *one_finals = tf1.unroll(forward.step, x, states, flags)
    two, *two_finals = tf1.unroll(backward.step, x, states, flags, go_backwards=True)
    expected = [np.concatenate([one, np.flip(two, 1)], axis=-1), *one_finals, *two_finals]
    assert difference(received, expected) < AGREES
    unreversed = [np.concatenate([one, two], axis=-1), *one_finals, *two_finals]
    assert difference(received, unreversed) > DIFFERS


def stack() -> list[Example]:
    """Examples of which each reads the output of the one before."""
    widths = [("coupled_lstm_full", INPUTS), ("ugrnn", PROJECTION), ("layer_norm_lstm", UNITS)]
    return [BUILDERS[name](23, inputs) for name, inputs in widths]


@pytest.mark.parametrize("mask", MASKS)
def test_cells_on_cells(mask: str) -> None:
    cells = stack()
    stacked = keras.layers.StackedRNNCells(
        [example.cell(dtype="float64") for example in cells], dtype="float64"
    )
    ours = keras.layers.RNN(stacked, return_sequences=True, return_state=True, dtype="float64")
    states = [example.initial_states() for example in cells]
    step = tf1.stacked([(example.step, len(example.states)) for example in cells])
    for zeros in (False, True):
        ours.zero_output_for_mask = zeros
        received = ours(sequences(), mask=MASKS[mask], initial_state=states)
        flat = tf.nest.flatten(states)
        expected = tf1.unroll(step, sequences(), flat, MASKS[mask], zeros=zeros)
        assert difference(received, expected) < AGREES
        wrong = tf1.unroll(
            step, sequences(), flat, MASKS[mask], zeros=zeros, mistake="no forget bias"
        )
        assert difference(received, wrong) > DIFFERS


def test_the_plain_lstm_is_that_of_keras() -> None:
    example = EXAMPLES["lstm"]
    stock = keras.layers.LSTM(
        UNITS, use_cudnn=False, return_sequences=True, return_state=True, dtype="float64"
    )
    stock.build((BATCH, TIME, INPUTS))
    stock.set_weights(list(example.weights.values()))
    assert difference(layer(example)(sequences()), stock(sequences())) < AGREES


def test_nothing_is_normalised_into_a_number_that_is_none() -> None:
    """All inputs alike have no variance: in TensorFlow 1 they become beta."""
    cell = LayerNormLSTMCell(UNITS)
    cell.build((None, INPUTS))
    outputs, _ = cell(np.zeros((2, INPUTS), "float32"), cell.get_initial_state(2))
    assert np.array_equal(outputs, np.zeros((2, UNITS)))
