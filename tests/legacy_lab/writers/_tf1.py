"""TF1 training graphs: built, filled with random weights, saved, and asked for goldens."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import MappingProxyType
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np
import tensorflow as tf
from _common import Arrays, CaseWriter, Description, random_array, random_weight, write_golden

CLASSES = 11
PREFIX = "model.ckpt"
TRAINED_STEPS = 1000

# Without this each run prints a page of deprecations.
tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)

Tensors = Dict[str, tf.Tensor]
NameStates = Callable[[Any], Tensors]


class Sizes(NamedTuple):
    """Input width, time steps and one valid length for each batch row."""

    width: int
    time: int
    lengths: Sequence[int]


class Recurrence(NamedTuple):
    """The recurrent part of a training graph.

    Attributes:
        inputs: Placeholder [batch, time, width], or time first.
        lengths: Placeholder [batch], or None when the graph runs every row to the end.
        outputs: Outputs at every step, laid out as the inputs.
        states: The final states, by golden name.
        time_major: Whether time is the first axis.
    """

    inputs: tf.Tensor
    lengths: Optional[tf.Tensor]
    outputs: tf.Tensor
    states: Tensors
    time_major: bool = False


class Model(NamedTuple):
    """A recurrence and what a case says of it.

    Attributes:
        recurrence: The graph.
        sizes: Sizes of the golden inputs.
        seed: Seed of weights and inputs.
        facts: What the cells were made with.
        settings: What the artifact cannot say.
        cell: The cell to ask for one step, or None.
        has_meta: Whether the graph is saved too.
        scale: Size of the weights.
        split_state: Names the parts of a state that is one tensor, in their order.
    """

    recurrence: Recurrence
    sizes: Sizes
    seed: int
    facts: Dict[str, object]
    settings: Mapping[str, str] = MappingProxyType({})
    cell: Optional[tf.nn.rnn_cell.RNNCell] = None
    has_meta: bool = False
    scale: float = 0.5
    split_state: Optional[NameStates] = None


@contextlib.contextmanager
def fresh_session() -> Iterator[tf.Session]:
    """Gives a session on a new graph, single-threaded so that sums have one order."""
    config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        yield session


def sequence_placeholder(width: int, name: str = "inputs") -> tf.Tensor:
    """Returns a float placeholder of any batch and any length."""
    return tf.placeholder(tf.float32, [None, None, width], name=name)


def length_placeholder(name: str = "sequence_length") -> tf.Tensor:
    """Returns the placeholder of the rows' valid lengths."""
    return tf.placeholder(tf.int32, [None], name=name)


def name_states(states: Sequence, prefix: str = "") -> Tensors:
    """Returns the layers' states as h_0, c_0, h_1, ..., whatever order the cell keeps them in."""
    named = {}
    for layer, state in enumerate(states):
        if isinstance(state, tf.nn.rnn_cell.LSTMStateTuple):
            named["{}h_{}".format(prefix, layer)] = state.h
            named["{}c_{}".format(prefix, layer)] = state.c
        else:
            named["{}h_{}".format(prefix, layer)] = state
    return named


def name_state(state: Any, prefix: str = "") -> Tensors:
    """Returns the state of a cell, or of a stack of cells, as `name_states` names it."""
    is_stack = isinstance(state, tuple) and not isinstance(state, tf.nn.rnn_cell.LSTMStateTuple)
    return name_states(state if is_stack else [state], prefix)


def unroll(
    cell: tf.nn.rnn_cell.RNNCell,
    sizes: Sizes,
    has_lengths: bool = True,
    time_major: bool = False,
    name: NameStates = name_state,
) -> Recurrence:
    """Runs a cell over placeholders with dynamic_rnn."""
    inputs = sequence_placeholder(sizes.width)
    lengths = length_placeholder() if has_lengths else None
    outputs, state = tf.nn.dynamic_rnn(
        cell, inputs, sequence_length=lengths, dtype=tf.float32, time_major=time_major
    )
    return Recurrence(inputs, lengths, outputs, name(state), time_major)


def unroll_both_ways(
    forward: tf.nn.rnn_cell.RNNCell, backward: tf.nn.rnn_cell.RNNCell, sizes: Sizes
) -> Recurrence:
    """Runs two cells over placeholders with bidirectional_dynamic_rnn."""
    inputs, lengths = sequence_placeholder(sizes.width), length_placeholder()
    outputs, (forward_state, backward_state) = tf.nn.bidirectional_dynamic_rnn(
        forward, backward, inputs, sequence_length=lengths, dtype=tf.float32
    )
    states = dict(name_state(forward_state, "fw_"), **name_state(backward_state, "bw_"))
    return Recurrence(inputs, lengths, tf.concat(outputs, axis=-1, name="outputs"), states)


def add_head(features: tf.Tensor, name: str = "logits") -> tf.Tensor:
    """Adds the dense head and its loss.

    Args:
        features: [batch, units], what the recurrent part says of each row.
        name: The head's scope.

    Returns:
        The logits.
    """
    labels = tf.placeholder(tf.int32, [None], name=name + "_labels")
    logits = tf.layers.dense(features, CLASSES, name=name)
    tf.losses.sparse_softmax_cross_entropy(labels, logits)
    return logits


def add_optimizer() -> tf.Variable:
    """Adds the gradients of all losses and Adam with its slots; returns the global step."""
    step = tf.train.get_or_create_global_step()
    tf.train.AdamOptimizer(1e-3).minimize(tf.losses.get_total_loss(), global_step=step)
    return step


def pool(recurrence: Recurrence) -> tf.Tensor:
    """Returns the outputs' mean over time."""
    return tf.reduce_mean(recurrence.outputs, axis=0 if recurrence.time_major else 1)


def variable_value(variable: tf.Variable, seed: int) -> np.ndarray:
    """Returns a random weight, or for Adam's slots something as small as real moments."""
    name, shape = variable.op.name, variable.shape.as_list()
    if name.endswith("/Adam"):
        return random_array(name, shape, seed, scale=0.01)
    if name.endswith("/Adam_1"):
        return random_array(name, shape, seed, scale=0.01) ** 2
    return random_weight(name, shape, seed)


def save_trained(session: tf.Session, folder: Path, seed: int, trainer_meta: bool) -> None:
    """Finishes the training graph, gives every variable its random value and saves.

    Args:
        session: A session on the graph, complete up to its losses.
        folder: Where to save.
        seed: Seed of the values.
        trainer_meta: Whether the .meta is the trainer's own, with the gradient ops. If not, it
            is an evaluation job's, next to the same trainer's checkpoint: real too, and a
            quarter of the size.
    """
    if not trainer_meta:
        tf.train.Saver().export_meta_graph(str(folder / (PREFIX + ".meta")))
    step = add_optimizer()
    # Saver alone would write this machine's absolute paths into the `checkpoint` file.
    saver = tf.train.Saver(save_relative_paths=True)
    session.run(tf.global_variables_initializer())
    step.load(TRAINED_STEPS, session)
    for variable in tf.global_variables():
        if variable.dtype.base_dtype == tf.float32 and variable.shape.ndims:
            variable.load(variable_value(variable, seed), session)
    saver.save(session, str(folder / PREFIX), write_meta_graph=trainer_meta)


def checkpoint_shapes(folder: Path) -> Dict[str, List[int]]:
    """Returns the shape of every variable that the checkpoint really holds."""
    return dict(sorted(tf.train.list_variables(str(folder / PREFIX))))


def recurrent_weights(folder: Path, scope: str) -> Arrays:
    """Returns the trained variables under a scope, without the optimizer's slots."""
    reader = tf.train.load_checkpoint(str(folder / PREFIX))
    names = (name for name in checkpoint_shapes(folder) if name.startswith(scope + "/"))
    return {name: reader.get_tensor(name) for name in names if "/Adam" not in name}


def delete_checkpoint(folder: Path) -> None:
    """Deletes the checkpoint, leaving the goldens."""
    for path in [folder / "checkpoint", *folder.glob(PREFIX + ".*")]:
        path.unlink()


def ask(
    session: tf.Session, path: Path, recurrence: Recurrence, inputs: Arrays, lengths: Sequence[int]
) -> str:
    """Writes what the graph answers; batch first in the file, whatever the graph wants."""
    swap = (1, 0, 2) if recurrence.time_major else (0, 1, 2)
    feed = {recurrence.inputs: inputs["inputs"].transpose(swap)}
    if recurrence.lengths is not None:
        feed[recurrence.lengths] = np.asarray(lengths, np.int32)
    fetch = dict(recurrence.states, outputs=recurrence.outputs)
    outputs = session.run(fetch, feed)
    outputs["outputs"] = outputs["outputs"].transpose(swap)
    return write_golden(path, inputs, outputs)


def write_sequence_goldens(
    session: tf.Session, folder: Path, recurrence: Recurrence, sizes: Sizes, seed: int
) -> Dict[str, str]:
    """Writes golden.npz and, when the graph takes lengths, golden_lengths.npz.

    Returns:
        Signature to file name.
    """
    batch = len(sizes.lengths)
    values = random_array("inputs", [batch, sizes.time, sizes.width], seed)
    inputs, full = {"inputs": values}, [sizes.time] * batch
    files = {"serving_default": ask(session, folder / "golden.npz", recurrence, inputs, full)}
    if recurrence.lengths is not None:
        inputs["sequence_length"] = np.asarray(sizes.lengths, np.int32)
        path = folder / "golden_lengths.npz"
        files["with_lengths"] = ask(session, path, recurrence, inputs, sizes.lengths)
    return files


def write_step_golden(
    session: tf.Session,
    folder: Path,
    inputs: tf.Tensor,
    states: Tensors,
    results: Tensors,
    arrays: Arrays,
) -> Dict[str, str]:
    """Writes golden_step.npz: one time step from states that are not zero.

    Args:
        session: The session that holds the trained weights.
        folder: Where to write.
        inputs: Placeholder [batch, width].
        states: Placeholders of the states before the step, by golden name.
        results: The step's outputs and the states after it, by golden name.
        arrays: What to feed, by golden name.

    Returns:
        Signature to file name.
    """
    feed = {tensor: arrays[name] for name, tensor in dict(states, inputs=inputs).items()}
    outputs = session.run(results, feed)
    return {"step": write_golden(folder / "golden_step.npz", arrays, outputs)}


def step_arrays(sizes: Sizes, states: Tensors, seed: int) -> Arrays:
    """Returns one time step's inputs and random states."""
    batch = len(sizes.lengths)
    arrays = {"inputs": random_array("step/inputs", [batch, sizes.width], seed)}
    for name, tensor in states.items():
        shape = [batch, tensor.shape.as_list()[-1]]
        arrays[name] = random_array("step/" + name, shape, seed, scale=0.7)
    return arrays


def tensor_names(recurrence: Recurrence, logits: Optional[tf.Tensor] = None) -> Dict[str, str]:
    """Returns where in the graph everything is found."""
    tensors = dict(recurrence.states, inputs=recurrence.inputs, outputs=recurrence.outputs)
    if recurrence.lengths is not None:
        tensors["sequence_length"] = recurrence.lengths
    if logits is not None:
        tensors["logits"] = logits
    return {name: tensor.name for name, tensor in sorted(tensors.items())}


def describe_checkpoint(
    folder: Path, facts: Dict[str, object], tensors: Dict[str, str], golden: Dict[str, str]
) -> Description:
    """Returns the case.json of a checkpoint that has its MetaGraph."""
    return {
        "source": PREFIX,
        "settings": {},
        "facts": facts,
        "variables": checkpoint_shapes(folder),
        "tensors": tensors,
        "golden": golden,
    }


def fill_variables(session: tf.Session, seed: int, scale: float = 0.5) -> None:
    """Gives every variable its random value, and the global step its number."""
    for variable in tf.global_variables():
        name, shape = variable.op.name, variable.shape.as_list()
        value = random_weight(name, shape, seed, scale) if shape else TRAINED_STEPS
        variable.load(value, session)


def save_variables(session: tf.Session, folder: Path) -> None:
    """Saves every variable, without the graph."""
    saver = tf.train.Saver(save_relative_paths=True)
    saver.save(session, str(folder / PREFIX), write_meta_graph=False)


def state_placeholders(size: Any) -> Any:
    """Returns placeholders for a state of a size, nested as the size is."""
    if isinstance(size, int):
        return tf.placeholder(tf.float32, [None, size])
    parts = [state_placeholders(part) for part in size]
    is_pair = isinstance(size, tf.nn.rnn_cell.LSTMStateTuple)
    return tf.nn.rnn_cell.LSTMStateTuple(*parts) if is_pair else tuple(parts)


def states_before(model: Model) -> Tuple[Any, Tensors]:
    """Returns a state of placeholders as the cell wants it, and its parts by name."""
    size = model.cell.state_size
    if model.split_state is None:
        state = state_placeholders(size)
        return state, name_state(state)
    parts = {
        name: tf.placeholder(tf.float32, [None, part.shape.as_list()[-1]])
        for name, part in model.split_state(tf.zeros([1, size])).items()
    }
    return tf.concat(list(parts.values()), axis=1), parts


def write_cell_step(session: tf.Session, folder: Path, model: Model) -> Dict[str, str]:
    """Writes what a cell answers to one step from states that are not zero.

    To be called after saving: no trainer's graph has such a step.

    Raises:
        ValueError: The cell made new variables, where it should use the trained ones.
    """
    inputs = tf.placeholder(tf.float32, [None, model.sizes.width])
    before, states = states_before(model)
    trained = len(tf.global_variables())
    outputs, after = model.cell(inputs, before)
    made = tf.global_variables()[trained:]
    if made:
        raise ValueError("A step must make no variables. Received: {}".format(made))
    results = dict((model.split_state or name_state)(after), outputs=outputs)
    arrays = step_arrays(model.sizes, states, model.seed)
    return write_step_golden(session, folder, inputs, states, results, arrays)


def write_goldens(session: tf.Session, folder: Path, model: Model) -> Dict[str, str]:
    """Writes every golden of a model; returns signature to file name."""
    files = write_sequence_goldens(session, folder, model.recurrence, model.sizes, model.seed)
    if model.cell is not None:
        files.update(write_cell_step(session, folder, model))
    return files


def model_writer(build: Callable[[], Model]) -> CaseWriter:
    """Returns the writer of a checkpoint with nothing but a recurrence, as evaluated.

    Args:
        build: Makes the graph.
    """

    def write(folder: Path) -> Description:
        with fresh_session() as session:
            model = build()
            tf.train.get_or_create_global_step()
            if model.has_meta:
                tf.train.Saver().export_meta_graph(str(folder / (PREFIX + ".meta")))
            fill_variables(session, model.seed, model.scale)
            save_variables(session, folder)
            golden = write_goldens(session, folder, model)
            tensors = tensor_names(model.recurrence) if model.has_meta else {}
            description = describe_checkpoint(folder, model.facts, tensors, golden)
            return dict(description, settings=dict(model.settings))

    return write
