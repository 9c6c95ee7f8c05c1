"""Cells in files: configs, `.keras` files and SavedModels, read by other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import rnn_migrator
from rnn_migrator.keras_model.cells import LayerNormLSTMCell, LegacyLSTMCell
from tests.keras_model import serve
from tests.keras_model.cells.examples import (
    BUILDERS,
    EXAMPLES,
    INPUTS,
    MASKS,
    Example,
    sequences,
)

examples = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


@examples
def test_a_config_makes_an_equal_cell(example: Example) -> None:
    cell = example.cell(dtype="float64", name="decoder")
    config = json.loads(json.dumps(cell.get_config()))
    again = type(cell).from_config(config)
    assert again.get_config() == cell.get_config()
    again.build((None, INPUTS))
    again.set_weights(cell.get_weights())
    inputs, states = sequences()[:, 0], example.initial_states()
    for received, expected in zip(
        tf.nest.flatten(again(inputs, states)), tf.nest.flatten(cell(inputs, states)), strict=True
    ):
        assert np.array_equal(received, expected)


@examples
def test_every_argument_is_in_the_config(example: Example) -> None:
    cell = example.make()
    arguments = set(type(cell).__init__.__annotations__) - {"kwargs", "return"}
    assert arguments <= set(cell.get_config())


def test_numbers_of_numpy_become_plain_ones() -> None:
    four, half = np.int64(4), np.float32(0.5)
    cell = LegacyLSTMCell(four, projection_size=four, cell_clip=half, projection_clip=half)
    config = json.loads(json.dumps(cell.get_config()))
    assert (config["units"], config["projection_size"]) == (4, 4)
    assert (config["cell_clip"], config["projection_clip"]) == (0.5, 0.5)
    config = LayerNormLSTMCell(four, epsilon=np.float32(0.5)).get_config()
    assert json.loads(json.dumps(config))["epsilon"] == 0.5


def make_model(seed: int = 41) -> Any:
    """A model with all of the cells: alone, in both directions, and on one another."""

    def cell(name: str) -> Any:
        return BUILDERS[name](seed, INPUTS).make()

    def recurrent(cell: Any, **options: Any) -> Any:
        return keras.layers.RNN(cell, return_sequences=True, **options)

    inputs = keras.Input((None, INPUTS), name="inputs")
    mask = keras.Input((None,), dtype="bool", name="mask")
    x = recurrent(cell("lstm_full"), zero_output_for_mask=True)(inputs, mask=mask)
    x = keras.layers.Bidirectional(recurrent(cell("coupled_lstm_full")))(x, mask=mask)
    stacked = keras.layers.StackedRNNCells([cell("layer_norm_lstm"), cell("ugrnn")])
    x = recurrent(stacked)(x, mask=mask)
    x = recurrent(cell("lstm_hard_sigmoid"), go_backwards=True)(x, mask=mask)
    model = keras.Model([inputs, mask], x)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.6, weight.shape) for weight in model.get_weights()])
    return model


def arrays() -> dict[str, Any]:
    return {"inputs": sequences().astype("float32"), "mask": MASKS["ragged"]}


def answer(model: Any) -> Any:
    return model(list(map(tf.constant, arrays().values()))).numpy()


FRESH_PROCESS = """
import sys
import keras
import numpy as np
import tensorflow as tf
import rnn_migrator.keras_model.cells

model = keras.models.load_model("model.keras")
with np.load("arrays.npz") as arrays:
    np.save("answer.npy", model([tf.constant(arrays["inputs"]), tf.constant(arrays["mask"])]))
assert not [name for name in sys.modules if name.startswith("tests")]
"""


def run(folder: Path, *command: str, **environment: str) -> None:
    subprocess.run(
        [sys.executable, *command], cwd=folder, env={**os.environ, **environment}, check=True
    )


@pytest.mark.slow
def test_a_keras_file_computes_the_same_in_another_process(tmp_path: Path) -> None:
    model = make_model()
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "arrays.npz", **arrays())
    component = str(Path(rnn_migrator.__file__).parents[1])
    run(tmp_path, "-c", FRESH_PROCESS, PYTHONPATH=component)
    received = np.load(tmp_path / "answer.npy")
    assert np.array_equal(received, answer(model))
    assert not np.allclose(received, answer(make_model(seed=42)), atol=1e-3)


def export(model: Any, folder: Path) -> None:
    @tf.function(autograph=False)
    def endpoint(inputs: Any, mask: Any) -> dict[str, Any]:
        return {"outputs": model([inputs, mask])}

    module = tf.Module()
    module.endpoint = endpoint
    module.model_variables = [variable.value for variable in model.weights]
    signature = endpoint.get_concrete_function(
        tf.TensorSpec([None, None, INPUTS], tf.float32, "inputs"),
        tf.TensorSpec([None, None], tf.bool, "mask"),
    )
    tf.saved_model.save(module, str(folder), {"serving_default": signature})


@pytest.mark.slow
def test_plain_tensorflow_serves_a_saved_model(tmp_path: Path) -> None:
    model = make_model()
    export(model, tmp_path / "saved_model")
    np.savez(tmp_path / "arrays.npz", **arrays())
    jobs = [
        {
            "model": str(tmp_path / "saved_model"),
            "way": way,
            "calls": [["serving_default", str(tmp_path / "arrays.npz"), f"{tmp_path}/{way}.npz"]],
        }
        for way in ("eager", "session")
    ]
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    run(tmp_path, str(serve.__file__), str(tmp_path / "jobs.json"), PYTHONPATH="")
    for way in ("eager", "session"):
        with np.load(tmp_path / f"{way}.npz") as results:
            assert np.allclose(results["outputs"], answer(model), rtol=0, atol=1e-6)
            assert not np.allclose(results["outputs"], answer(make_model(42)), atol=1e-3)


@examples
def test_states_are_kept_between_batches(example: Example) -> None:
    ours = keras.layers.RNN(example.cell(dtype="float64"), stateful=True, dtype="float64")
    whole = keras.layers.RNN(example.cell(dtype="float64"), dtype="float64")
    x = sequences()
    first, second = ours(x[:, :2]), ours(x[:, 2:])
    assert np.allclose(second, whole(x), rtol=0, atol=1e-12)
    assert np.allclose(first, whole(x[:, :2]), rtol=0, atol=1e-12)
    ours.reset_state()
    assert not np.allclose(ours(x[:, 2:]), second, atol=1e-3)
