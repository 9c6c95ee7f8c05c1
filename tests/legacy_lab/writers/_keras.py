"""Keras models of any release: filled with random weights, saved, and asked for goldens.

No Keras is imported here: a writer gives the module it means, `keras` or `tf.keras`. Some of the
old interpreters are Python 3.6, which cannot postpone annotations.
"""

import functools
import json
import types
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

import h5py
import numpy as np
from _common import (
    Arrays,
    CaseWriter,
    Description,
    random_array,
    random_weight,
    write_golden,
)

MODEL = "model.h5"
WEIGHTS = "weights.h5"
JSON = "architecture.json"
JSON_TWICE = "architecture_twice.json"
YAML = "architecture.yaml"
GOLDEN = "golden.npz"
# What an artifact's predictions may differ from its model's own: nothing but the order of sums.
TOLERANCE = 1e-6

NOTHING: Mapping[str, object] = types.MappingProxyType({})

Model = Any
Keras = Any


class Subject(NamedTuple):
    """A model to save, and what to ask it.

    Attributes:
        model: The model; its weights are still to be filled.
        inputs: What to feed, by input layer and in the model's order.
        seed: Seed of the weights.
        settings: What the artifact cannot say.
        facts: What the layers were made with, besides what `layer_facts` tells.
        custom: Classes and functions of the user that the model needs to be loaded.
    """

    model: Model
    inputs: Arrays
    seed: int
    settings: Mapping[str, object] = NOTHING
    facts: Mapping[str, object] = NOTHING
    custom: Mapping[str, object] = NOTHING


class Way(NamedTuple):
    """How a writer's models are saved.

    Attributes:
        keras: The module that makes and loads them.
        start_afresh: Drops all models, so that layers count from one again.
        loss: What trained models are trained for.
        metrics: And what they are measured by.
    """

    keras: Keras
    start_afresh: Callable[[], None]
    loss: object = "mse"
    metrics: Sequence[object] = ()


Build = Callable[[], Subject]


def sequences(name: str, shape: Sequence[int], seed: int) -> Arrays:
    """Returns random inputs of one input layer."""
    return {name: random_array(name, shape, seed)}


def tokens(name: str, shape: Sequence[int], words: int, seed: int) -> Arrays:
    """Returns random word numbers from 1 on: 0 is the padding."""
    random = np.abs(random_array(name, shape, seed, scale=1e4)).astype(np.int32)
    return {name: 1 + random % (words - 1)}


def pad(inputs: Arrays, places: Sequence[Sequence[int]]) -> Arrays:
    """Returns the inputs with zeros wherever `places`, [batch, time], has a zero."""
    keep = np.asarray(places)
    return {
        name: values * keep.reshape(keep.shape + (1,) * (values.ndim - 2)).astype(values.dtype)
        for name, values in inputs.items()
    }


def weight_shape(weight: Any) -> List[int]:
    """Returns the shape of a weight of either backend."""
    if hasattr(weight, "get_value"):
        return list(weight.get_value().shape)
    return weight.get_shape().as_list()


def weight_value(position: int, weight: Any, seed: int) -> np.ndarray:
    """Returns a random weight; variances, which Keras 1 calls deviations, are positive."""
    values = random_weight(str(position), weight_shape(weight), seed)
    is_variance = any(word in weight.name for word in ("variance", "running_std"))
    return np.square(values) + np.float32(0.1) if is_variance else values


def fill(keras: Keras, model: Model, seed: int) -> None:
    """Gives every weight its random value."""
    values = [
        (weight, weight_value(place, weight, seed)) for place, weight in enumerate(model.weights)
    ]
    # Some releases' set_weights takes another order than weights gives, once layers are frozen.
    keras.backend.batch_set_value(values)


def train(way: Way, subject: Subject) -> None:
    """Runs one step of training, which fills the optimizer's slots."""
    model, inputs = subject.model, list(subject.inputs.values())
    model.compile(optimizer="adam", loss=way.loss, metrics=list(way.metrics))
    answers = as_list(model.predict(inputs, batch_size=len(inputs[0]), verbose=0))
    targets = [
        random_array("target {}".format(place), answer.shape, subject.seed)
        for place, answer in enumerate(answers)
    ]
    model.train_on_batch(inputs, targets)


def as_list(values: Any) -> List[Any]:
    """Returns what may be one thing or several as several."""
    return list(values) if isinstance(values, (list, tuple)) else [values]


def output_names(model: Model) -> List[str]:
    """Returns one name for each output; a layer with several counts them: NAME, NAME_1, …"""
    names: List[str] = []
    for name in model.output_names:
        same = sum(1 for earlier in model.output_names[: len(names)] if earlier == name)
        names.append("{}_{}".format(name, same) if same else name)
    return names


def ask(model: Model, inputs: Arrays) -> List[np.ndarray]:
    """Returns what a model answers from zero states."""
    model.reset_states()
    values = list(inputs.values())
    return as_list(model.predict(values, batch_size=len(values[0]), verbose=0))


def write_model_golden(folder: Path, subject: Subject, loaded: Optional[Model]) -> Dict[str, str]:
    """Writes what a model answers; the loaded file, where it can be loaded, has to agree."""
    model, inputs = subject.model, subject.inputs
    if list(inputs) != list(model.input_names):
        raise ValueError("{} are no inputs of {}".format(list(inputs), list(model.input_names)))
    answers = ask(model, inputs)
    if loaded is not None:
        # By position: Keras 1 counts the inputs of a loaded Sequential on.
        for again, values in zip(ask(loaded, inputs), answers):
            np.testing.assert_allclose(again, values, rtol=0, atol=TOLERANCE)
    named = dict(zip(output_names(model), answers))
    return {"serving_default": write_golden(folder / GOLDEN, inputs, named)}


def layer_facts(model: Model) -> Dict[str, object]:
    """Returns what each recurrent layer was made with, by its name."""
    facts: Dict[str, object] = {}
    for layer in model.layers:
        values = layer.get_config()
        kept = {key: values[key] for key in FACTS if key in values}
        if len(kept) > 1:
            kept["class"] = type(layer).__name__
            facts.update({"layer[{}].{}".format(layer.name, key): kept[key] for key in kept})
    return dict(sorted(facts.items()))


FACTS = (
    "units",
    "output_dim",
    "inner_activation",
    "recurrent_activation",
    "reset_after",
    "consume_less",
    "go_backwards",
    "stateful",
    "time_major",
)


def dataset_shapes(path: Path) -> Dict[str, List[int]]:
    """Returns the shape of every dataset in an HDF5 file."""
    shapes = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = list(item.shape)

    with h5py.File(str(path), "r") as file:
        file.visititems(visit)
    return dict(sorted(shapes.items()))


def describe(
    folder: Path,
    subject: Subject,
    source: str,
    variables: Mapping[str, Sequence[int]],
    loaded: Optional[Model],
) -> Description:
    """Writes the golden and returns the case.json of what was saved."""
    return {
        "source": source,
        "settings": dict(subject.settings),
        "facts": dict(layer_facts(subject.model), **subject.facts),
        "variables": dict(variables),
        "tensors": {},
        "golden": write_model_golden(folder, subject, loaded),
    }


def prepared(way: Way, build: Build, trained: bool) -> Subject:
    """Returns a filled model, trained for one step if it should be."""
    way.start_afresh()
    subject = build()
    fill(way.keras, subject.model, subject.seed)
    if trained:
        train(way, subject)
    return subject


def save_whole(way: Way, build: Build, trained: bool, folder: Path) -> Description:
    """Saves architecture, weights and what there is of an optimizer in one file."""
    subject = prepared(way, build, trained)
    path = folder / MODEL
    subject.model.save(str(path))
    loaded = way.keras.models.load_model(str(path), custom_objects=dict(subject.custom))
    return describe(folder, subject, MODEL, dataset_shapes(path), loaded)


def architecture_text(model: Model, name: str) -> str:
    """Returns what an architecture file holds; many gave to_json's text to json.dump again."""
    if name == YAML:
        return model.to_yaml()
    return json.dumps(model.to_json()) if name == JSON_TWICE else model.to_json()


def save_parts(way: Way, build: Build, texts: Sequence[str], folder: Path) -> Description:
    """Saves the weights alone, and the architecture beside them in each of the `texts`."""
    subject = prepared(way, build, trained=False)
    path = folder / WEIGHTS
    subject.model.save_weights(str(path))
    for name in texts:
        text = architecture_text(subject.model, name)
        (folder / name).write_text(text.strip() + "\n", encoding="utf-8")
    fill(way.keras, subject.model, subject.seed + 1)
    subject.model.load_weights(str(path))
    described = describe(folder, subject, WEIGHTS, dataset_shapes(path), None)
    return dict(described, architecture=texts[0])


def whole(way: Way, build: Build, trained: bool = False) -> CaseWriter:
    """Returns the writer of a whole model in one file."""
    return functools.partial(save_whole, way, build, trained)


def parts(way: Way, build: Build, *texts: str) -> CaseWriter:
    """Returns the writer of bare weights with an architecture, the first of `texts`."""
    return functools.partial(save_parts, way, build, texts or (JSON,))
