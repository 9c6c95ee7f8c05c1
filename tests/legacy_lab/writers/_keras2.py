"""Keras 2 models: built without a GPU, filled with random weights, saved, and asked for goldens."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Sequence

import h5py
import keras
import numpy as np
import tensorflow as tf
from _common import Arrays, Description, random_array, random_weight, write_golden
from keras import backend

CLASSES = 11
MODEL = "model.h5"
WEIGHTS = "weights.h5"
ARCHITECTURE = "architecture.json"
TRAINED_STEPS = 1000
# So large that hard sigmoid gates are often fully open or shut.
WEIGHT_SCALE = 0.9

# Without this each run prints a page of deprecations.
tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)

LayerFactory = Callable[..., keras.layers.Layer]


class Sizes(NamedTuple):
    """Input width, time steps and batch."""

    width: int
    time: int
    batch: int


class Network(NamedTuple):
    """A model to save, and the model that tells the golden.

    Attributes:
        saved: The model of the artifact.
        twin: A model that runs on a CPU and takes the saved model's weights, through Keras' own
            conversion where the layers differ.
        sizes: Widths and lengths of the golden inputs.
        seed: Seed of weights and inputs.
        facts: What the layers were made with.
    """

    saved: keras.Model
    twin: keras.Model
    sizes: Sizes
    seed: int
    facts: Dict[str, object]


def start_afresh() -> None:
    """Drops all models, and gives Keras a session that may hold layers this machine cannot run."""
    backend.clear_session()
    # Without pruning, placing the cuDNN operations fails although nothing ever runs them.
    config = tf.ConfigProto(
        allow_soft_placement=True,
        graph_options=tf.GraphOptions(place_pruned_graph=True),
        intra_op_parallelism_threads=1,
        inter_op_parallelism_threads=1,
    )
    backend.set_session(tf.Session(config=config))


def layer_facts(cell: str, units: Sequence[int], gates: str, **more: object) -> Dict[str, object]:
    """Returns what each layer was made with."""
    facts = dict(more)
    for layer, width in enumerate(units):
        values = {
            "cell": cell,
            "units": width,
            "activation": "tanh",
            "recurrent_activation": gates,
        }
        facts.update({"layer[{}].{}".format(layer, key): value for key, value in values.items()})
    return facts


def fill(model: keras.Model, seed: int) -> None:
    """Gives every weight its random value, and Adam's slots something as small as moments."""
    model.compile(optimizer="adam", loss="categorical_crossentropy")
    model.set_weights(
        [
            random_weight(weight.name, backend.int_shape(weight), seed, WEIGHT_SCALE)
            for weight in model.weights
        ]
    )
    # Keras makes the slots only when it first trains, which cuDNN layers cannot do here.
    model._make_train_function()
    _, *slots = model.optimizer.weights
    moments = [random_array(slot.name, backend.int_shape(slot), seed, 0.01) ** 2 for slot in slots]
    model.optimizer.set_weights([np.int64(TRAINED_STEPS), *moments])


def dataset_shapes(path: Path) -> Dict[str, List[int]]:
    """Returns the shape of every dataset in an HDF5 file."""
    shapes = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = list(item.shape)

    with h5py.File(str(path), "r") as file:
        file.visititems(visit)
    return dict(sorted(shapes.items()))


def write_twin_golden(folder: Path, network: Network, weights: Path) -> Dict[str, str]:
    """Writes what the twin answers once it has loaded the saved weights."""
    network.twin.load_weights(str(weights))
    sizes = network.sizes
    shape = [sizes.batch, sizes.time, sizes.width]
    inputs: Arrays = {network.saved.input_names[0]: random_array("inputs", shape, network.seed)}
    answer = network.twin.predict(list(inputs.values()), batch_size=sizes.batch)
    outputs = {network.saved.output_names[0]: answer}
    return {"serving_default": write_golden(folder / "golden.npz", inputs, outputs)}


def save_whole(folder: Path, network: Network) -> Description:
    """Saves model, weights and optimizer in one file."""
    fill(network.saved, network.seed)
    path = folder / MODEL
    network.saved.save(str(path))
    return describe(folder, network, path)


def save_parts(folder: Path, network: Network, as_yaml: bool = False) -> Description:
    """Saves the weights alone, and the architecture beside them."""
    fill(network.saved, network.seed)
    path = folder / WEIGHTS
    network.saved.save_weights(str(path))
    (folder / ARCHITECTURE).write_text(network.saved.to_json() + "\n", encoding="utf-8")
    if as_yaml:
        text = network.saved.to_yaml()
        (folder / "architecture.yaml").write_text(text, encoding="utf-8")
    return dict(describe(folder, network, path), architecture=ARCHITECTURE)


def describe(folder: Path, network: Network, path: Path) -> Description:
    """Writes the golden and returns the case.json of a saved file."""
    return {
        "source": path.name,
        "settings": {},
        "facts": network.facts,
        "variables": dataset_shapes(path),
        "tensors": {},
        "golden": write_twin_golden(folder, network, path),
    }
