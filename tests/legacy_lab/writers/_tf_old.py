"""TensorFlow 0.12 and 1.0 graphs: built, filled with random weights, saved, asked for goldens."""

import contextlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf
from _common import Arrays, Description, random_array, random_weight, write_golden
from tensorflow.contrib import rnn as contrib_rnn

PREFIX = "model.ckpt"
# Until 1.0 the plain cells were in tf.nn, and from then to 1.1 in contrib only.
CELLS = getattr(tf.nn, "rnn_cell", contrib_rnn)

Tensors = Dict[str, tf.Tensor]


class Sizes(NamedTuple):
    """Input width, time steps and one valid length for each batch row."""

    width: int
    time: int
    lengths: Sequence[int]


class Run(NamedTuple):
    """One way to run the recurrent part: what to feed, and what it answers."""

    inputs: tf.Tensor
    outputs: tf.Tensor
    states: Tensors
    lengths: Optional[tf.Tensor] = None
    before: Optional[Tensors] = None


class Subject(NamedTuple):
    """A graph to save.

    Attributes:
        sequences: The run over whole sequences.
        step: The run of one step, where there is one.
        sizes: Sizes of the golden inputs.
        seed: Seed of weights and inputs.
        facts: What the cells were made with.
        settings: What the artifact cannot say.
        scale: Size of the weights.
        has_meta: Whether the graph is saved too.
        version: Format of the checkpoint, 1 or 2.
    """

    sequences: Run
    step: Optional[Run]
    sizes: Sizes
    seed: int
    facts: Dict[str, Any]
    settings: Optional[Dict[str, str]] = None
    scale: float = 0.5
    has_meta: bool = False
    version: int = 2


def flat_states(state: Any, prefix: str = "") -> Tensors:
    """Returns a state as h_0, c_0, h_1, ..., whatever order and form the cells keep it in."""
    cells = state if isinstance(state, tuple) and not hasattr(state, "c") else (state,)
    named = {}
    for index, one in enumerate(cells):
        if hasattr(one, "c"):
            named["{}h_{}".format(prefix, index)] = one.h
            named["{}c_{}".format(prefix, index)] = one.c
        else:
            named["{}h_{}".format(prefix, index)] = one
    return named


def split_state(state: tf.Tensor, units: int) -> Tensors:
    """Returns the parts of a state that is one tensor, c before h."""
    return {"c_0": state[:, :units], "h_0": state[:, units:]}


def sequence_run(cell: Any, sizes: Sizes, name: Callable[[Any], Tensors] = flat_states) -> Run:
    """Runs a cell over placeholders with dynamic_rnn."""
    inputs = tf.placeholder(tf.float32, [None, None, sizes.width], name="inputs")
    lengths = tf.placeholder(tf.int32, [None], name="sequence_length")
    outputs, state = tf.nn.dynamic_rnn(cell, inputs, sequence_length=lengths, dtype=tf.float32)
    return Run(inputs, outputs, name(state), lengths)


def step_run(cell: Any, sizes: Sizes, name: Callable[[Any], Tensors] = flat_states) -> Run:
    """Runs one step of the same cell from states that are fed."""
    inputs = tf.placeholder(tf.float32, [None, sizes.width])
    before = placeholders(cell.state_size)
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        outputs, state = tf.nn.dynamic_rnn(cell, tf.expand_dims(inputs, 1), initial_state=before)
    return Run(inputs, outputs[:, 0], name(state), before=name(before))


def placeholders(size: Any) -> Any:
    """Returns placeholders for a state of a size, nested as the size is."""
    if isinstance(size, int):
        return tf.placeholder(tf.float32, [None, size])
    parts = [placeholders(part) for part in size]
    return type(size)(*parts) if hasattr(size, "c") else tuple(parts)


def both_ways(forward: Any, backward: Any, sizes: Sizes) -> Run:
    """Runs two cells over placeholders with bidirectional_dynamic_rnn."""
    inputs = tf.placeholder(tf.float32, [None, None, sizes.width], name="inputs")
    lengths = tf.placeholder(tf.int32, [None], name="sequence_length")
    outputs, (fw_state, bw_state) = tf.nn.bidirectional_dynamic_rnn(
        forward, backward, inputs, sequence_length=lengths, dtype=tf.float32
    )
    joined = contrib_concat(outputs)
    states = flat_states(fw_state, "fw_")
    states.update(flat_states(bw_state, "bw_"))
    return Run(inputs, joined, states, lengths)


def contrib_concat(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns tensors side by side; 1.0 swapped the arguments of concat."""
    if tf.__version__.startswith("0."):
        return tf.concat(2, list(parts))
    return tf.concat(list(parts), 2)


def stacked(cells: List[Any]) -> Any:
    """Returns cells on top of each other, with the states in a tuple."""
    return CELLS.MultiRNNCell(cells, state_is_tuple=True)


@contextlib.contextmanager
def fresh_session() -> Iterator[tf.Session]:
    """Gives a session on a new graph, single-threaded so that sums have one order."""
    config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        yield session


def write(build: Callable[[], Subject]) -> Callable[[Path], Description]:
    """Returns the writer of one case; `build` makes its graph."""

    def write_it(folder: Path) -> Description:
        with fresh_session() as session:
            subject = build()
            tf.Variable(1000, trainable=False, name="global_step")
            shapes = fill(session, subject)
            save(session, subject, folder)
            return {
                "source": PREFIX,
                "settings": subject.settings or {},
                "facts": subject.facts,
                "golden": write_goldens(session, subject, folder),
                "variables": shapes,
                "tensors": {},
            }

    return write_it


def fill(session: tf.Session, subject: Subject) -> Dict[str, List[int]]:
    """Gives every variable its random value; returns the shapes by name, as they are saved."""
    shapes = {}
    for variable in variables():
        name, shape = variable.op.name, variable.get_shape().as_list()
        # The parts of a partitioned variable are saved as one.
        whole = variable._save_slice_info
        shapes.update({whole.full_name: whole.full_shape} if whole else {name: shape})
        if name == "global_step":
            session.run(variable.initializer)
        else:
            value = random_weight(name, shape, subject.seed, subject.scale)
            session.run(variable.initializer, {variable.initializer.inputs[1]: value})
    return shapes


def variables() -> List[tf.Variable]:
    """Returns all variables; 1.0 renamed the function."""
    return getattr(tf, "global_variables", getattr(tf, "all_variables", None))()


def save(session: tf.Session, subject: Subject, folder: Path) -> None:
    """Writes the checkpoint, its state file without the path of this machine."""
    version = tf.train.SaverDef.V2 if subject.version == 2 else tf.train.SaverDef.V1
    saver = tf.train.Saver(write_version=version)
    saver.save(session, str(folder / PREFIX), write_meta_graph=subject.has_meta)
    lines = (folder / "checkpoint").read_text().replace(str(folder) + "/", "")
    (folder / "checkpoint").write_text(lines)


def write_goldens(session: tf.Session, subject: Subject, folder: Path) -> Dict[str, str]:
    """Asks for every signature's golden; returns the files by signature."""
    run, sizes = subject.sequences, subject.sizes
    batch = len(sizes.lengths)
    x = random_array("inputs", (batch, sizes.time, sizes.width), subject.seed)
    feed = {"inputs": (run.inputs, x)}
    full = np.full([batch], sizes.time, np.int32)
    files = {"serving_default": golden(session, folder / "golden.npz", run, feed, full)}
    if run.lengths is not None:
        ragged = np.array(sizes.lengths, np.int32)
        feed["sequence_length"] = (run.lengths, ragged)
        files["with_lengths"] = golden(session, folder / "golden_lengths.npz", run, feed, ragged)
    if subject.step is not None:
        step = subject.step
        feed = {"inputs": (step.inputs, x[:, 0])}
        for name, tensor in (step.before or {}).items():
            width = step.states[name].get_shape().as_list()[1]
            feed[name] = (tensor, 0.5 * random_array(name, (batch, width), subject.seed))
        files["step"] = golden(session, folder / "golden_step.npz", step, feed, None)
    return files


Fed = Dict[str, Tuple[tf.Tensor, np.ndarray]]


def golden(
    session: tf.Session, path: Path, run: Run, fed: Fed, lengths: Optional[np.ndarray]
) -> str:
    """Runs and writes one golden file; returns its name."""
    feed = dict(fed.values())
    if run.lengths is not None and lengths is not None:
        feed[run.lengths] = lengths
    wanted = dict(run.states, outputs=run.outputs)
    answers = session.run(wanted_list(wanted), feed)
    outputs: Arrays = dict(zip(sorted(wanted), answers))
    return write_golden(path, {name: value for name, (_, value) in fed.items()}, outputs)


def wanted_list(wanted: Tensors) -> List[tf.Tensor]:
    """Returns tensors in the order of their names; 0.12 runs no dictionaries of them."""
    return [wanted[name] for name in sorted(wanted)]
