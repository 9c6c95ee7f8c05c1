"""Tests of running the legacy graph itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.legacy_runners import IteratedStep, WholeLoop
from rnn_migrator.equivalence.legacy_session import LegacyLoop
from rnn_migrator.equivalence.legacy_subgraph import Cut, extract
from rnn_migrator.errors import UnsupportedError
from rnn_migrator.readers import open_artifact
from rnn_migrator.readers.metagraph import Tensor, read_metagraph
from rnn_migrator.recognition.graph_facts import find_cells
from tests.legacy_lab.cases import Case
from tests.recognition.legacy_graphs import (
    BATCH,
    TIME,
    UNITS,
    WIDTH,
    BlockLstm,
    Build,
    Flat,
    Gru,
    Lstm,
    Rnn,
    Saved,
    Stack,
    Ugrnn,
    dropout_by_cast,
    dropout_by_floor,
    fuse,
    name_states,
    save,
    scan_by_hand,
    shifted_moments,
    tensorflow_1,
    unroll,
    unroll_by_hand,
    v1,
    variable,
)

Kernels = Sequence[Mapping[str, str | tuple[str, ...]]]

KERNEL = "rnn/lstm_cell/kernel"
ONE_LSTM: Kernels = [{"": KERNEL}]
TOLERANCE = 1e-6
# What a wrong gate, bias or mask makes of these outputs.
FAR_OFF = 1e-2


class Loader:
    """Reads a checkpoint's tensors and notes which."""

    def __init__(self, prefix: Path) -> None:
        self._artifact = open_artifact(prefix)
        self.names: list[str] = []

    def __call__(self, name: str) -> Array:
        self.names.append(name)
        return self._artifact.read(name)


def open_loop(prefix: Path, kernels: Kernels, load: Any = None) -> LegacyLoop:
    graph = read_metagraph(prefix.with_name(prefix.name + ".meta"))
    stacks = [
        {d: (names,) if isinstance(names, str) else names for d, names in layer.items()}
        for layer in kernels
    ]
    cells = find_cells(
        graph, [name for layer in stacks for names in layer.values() for name in names]
    )
    layers = [
        {d: tuple(cells[name] for name in names) for d, names in layer.items()} for layer in stacks
    ]
    return LegacyLoop(graph, load or Loader(prefix), layers)


def error(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    assert set(found) == set(expected)
    assert all(found[name].shape == expected[name].shape for name in expected)
    return max(float(np.abs(found[name] - expected[name]).max()) for name in expected)


def layers_in(count: int, name: str = "rnn/multi_rnn_cell/cell_{}/lstm_cell/kernel") -> Kernels:
    return [{"": name.format(index)} for index in range(count)]


def both_ways(name: str) -> Kernels:
    return [{direction: name.format(direction) for direction in ("bw", "fw")}]


# Goldens of TensorFlow 1.15.

LAB: dict[str, Kernels] = {
    "tf1_stacked_lstm": layers_in(3),
    "tf1_stacked_lstm_forget_bias": layers_in(2),
    "tf1_stacked_lstm_cell_clip": layers_in(2),
    "tf1_basic_lstm_fb0": [{"": "encoder/rnn/basic_lstm_cell/kernel"}],
    "tf1_basic_lstm_fb1": [{"": "rnn/basic_lstm_cell/kernel"}],
    "tf1_basic_lstm_fb2": [{"": "rnn/basic_lstm_cell/kernel"}],
    "tf1_bidirectional_lstm": both_ways("bidirectional_rnn/{}/lstm_cell/kernel"),
    "tf1_bidirectional_gru": both_ways("bidirectional_rnn/{}/gru_cell/gates/kernel"),
    "tf1_handwritten_lstm": [{"": "LSTMcell/output_gate/wt"}],
}
SCOPES: dict[str, Kernels] = {
    "encoder": layers_in(2, "encoder/rnn/multi_rnn_cell/cell_{}/lstm_cell/kernel"),
    "decoder": [{"": "decoder/rnn/gru_cell/gates/kernel"}],
}


def run_golden(legacy: LegacyLoop, case: Case, signature: str) -> float:
    """Returns how far a run is from a golden file."""
    golden = case.golden(signature)
    inputs = dict(golden["inputs"])
    x, ends = inputs.pop("inputs"), inputs.pop("sequence_length", None)
    if signature != "step":
        return error(legacy.run(x, ends, inputs), golden["outputs"])
    found = legacy.run(x[:, np.newaxis], ends, inputs)
    return error({**found, "outputs": found["outputs"][:, 0]}, golden["outputs"])


@pytest.mark.parametrize("name", LAB)
def test_goldens_of_tensorflow_1(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    with open_loop(case.source, LAB[name]) as legacy:
        assert legacy.how == WholeLoop.how
        assert legacy.accepts_lengths == ("sequence_length" in case.tensors)
        for signature in case.goldens:
            assert run_golden(legacy, case, signature) <= TOLERANCE


@pytest.mark.parametrize("scope", SCOPES)
def test_each_of_two_scopes(cases: dict[str, Case], scope: str) -> None:
    case = cases["tf1_two_scopes"]
    with open_loop(case.source, SCOPES[scope]) as legacy:
        assert run_golden(legacy, case, scope) <= TOLERANCE


def test_wrong_weights_are_far_off(cases: dict[str, Case]) -> None:
    case = cases["tf1_stacked_lstm"]
    load = Loader(case.source)

    def swapped(name: str) -> Array:
        value = load(name)
        if not name.endswith("cell_1/lstm_cell/kernel"):
            return value
        i, c, f, o = np.split(value, 4, axis=1)
        return np.concatenate([i, f, c, o], axis=1)

    with open_loop(case.source, LAB[case.name], swapped) as legacy:
        assert run_golden(legacy, case, "serving_default") > FAR_OFF
        assert run_golden(legacy, case, "step") > FAR_OFF


def test_ignored_lengths_are_far_off(cases: dict[str, Case]) -> None:
    case = cases["tf1_bidirectional_gru"]
    golden = case.golden("with_lengths")
    with open_loop(case.source, LAB[case.name]) as legacy:
        assert error(legacy.run(golden["inputs"]["inputs"]), golden["outputs"]) > FAR_OFF


def test_only_weights_of_the_cells_are_read(cases: dict[str, Case]) -> None:
    case = cases["tf1_stacked_lstm"]
    load = Loader(case.source)
    open_loop(case.source, LAB[case.name], load).close()
    scope = "rnn/multi_rnn_cell/cell_{}/lstm_cell/{}"
    wanted = {scope.format(i, part) for i in range(3) for part in ("kernel", "bias")}
    assert set(load.names) == wanted


# Graphs of every make, against what the whole graph answered.


def check(saved: Saved, kernels: Kernels, way: type[WholeLoop] | type[IteratedStep]) -> None:
    """Checks a run of a saved graph, with its lengths."""
    with open_loop(saved.prefix, kernels) as legacy:
        assert legacy.how == way.how
        found = legacy.run(saved.inputs, saved.lengths)
        assert error(found, saved.answers) <= TOLERANCE
        assert error(legacy.run(saved.inputs), saved.answers) > FAR_OFF


@pytest.mark.parametrize(
    "cell",
    [
        Lstm(),
        Lstm(forget_bias=-0.7, activation=tf.nn.softsign),
        Lstm(clip=(-0.3, 0.3)),
        Lstm(peepholes=True),
        Lstm(projection=4),
        Lstm(projection=4, projection_clip=0.4, peepholes=True, clip=(-0.5, 0.5)),
    ],
)
def test_kinds_of_lstm(tmp_path: Path, cell: Lstm) -> None:
    check(save(tmp_path, unroll(cell)), ONE_LSTM, WholeLoop)


@pytest.mark.parametrize("peepholes", [False, True])
def test_block_op(tmp_path: Path, peepholes: bool) -> None:
    build = unroll(BlockLstm(peepholes, cell_clip=0.4, forget_bias=0.2))
    check(save(tmp_path, build, train=False), ONE_LSTM, WholeLoop)


@pytest.mark.parametrize(
    ("cell", "kernel"),
    [
        (Gru(reset_after=True), "rnn/gru_cell/gates/kernel"),
        (Rnn(activation=tf.nn.softsign), "rnn/basic_rnn_cell/kernel"),
        (Ugrnn(forget_bias=0.3), "rnn/ugrnn_cell/kernel"),
        (Lstm(norms="icfos"), KERNEL),
        (Lstm(norms="icfos", moments=shifted_moments), KERNEL),
        (Lstm(order="cfo", coupled=True, peepholes=True, projection=4), KERNEL),
    ],
)
@pytest.mark.parametrize(("loop", "way"), [(unroll, WholeLoop), (unroll_by_hand, IteratedStep)])
def test_other_kinds_of_cell(tmp_path: Path, cell: Any, kernel: str, loop: Any, way: Any) -> None:
    saved = save(tmp_path, loop(cell))
    if way is WholeLoop:
        check(saved, [{"": kernel}], way)
    else:
        with open_loop(saved.prefix, [{"": kernel}]) as legacy:
            assert legacy.how == way.how
            assert error(legacy.run(saved.inputs), saved.answers) <= TOLERANCE


def test_eleven_layers(tmp_path: Path) -> None:
    saved = save(tmp_path, unroll(Stack(tuple(Rnn(3) for _ in range(11)))), train=False)
    check(saved, layers_in(11, "rnn/cell_{}/basic_rnn_cell/kernel"), WholeLoop)
    swapped = list(layers_in(11, "rnn/cell_{}/basic_rnn_cell/kernel"))
    swapped[1], swapped[10] = swapped[10], swapped[1]
    with pytest.raises(UnsupportedError, match="takes the output of the one before as it is"):
        open_loop(saved.prefix, swapped)


@pytest.mark.parametrize("names", [None, {"rnn/lstm_cell/bias/part_0": "first"}])
def test_variables_in_parts(tmp_path: Path, names: dict[str, str] | None) -> None:
    """Saved as one tensor, or each part by itself."""

    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        with v1.variable_scope("", partitioner=v1.fixed_size_partitioner(2)):
            return unroll(Lstm(peepholes=True, projection=4))(inputs, lengths)

    check(save(tmp_path, build, names=names), ONE_LSTM, WholeLoop)


def test_states_in_one_tensor(tmp_path: Path) -> None:
    cells = (Lstm(), Lstm(4, projection=2), Lstm(3))
    flat = Flat(Stack(tuple(Flat(cell) for cell in cells)))

    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        start = flat.zero_state(tf.shape(inputs)[0], tf.float32)
        outputs, state = v1.nn.dynamic_rnn(flat, inputs, lengths, initial_state=start, scope="rnn")
        sizes = [size for cell in cells for size in cell.state_size]
        parts = tf.split(state, sizes, axis=1)
        return {"outputs": outputs, **name_states(list(zip(parts[::2], parts[1::2], strict=True)))}

    kernels = layers_in(3, "rnn/cell_{}/lstm_cell/kernel")
    check(save(tmp_path, build), kernels, IteratedStep)


# Ops that run whole sequences.

FUSED = "the ops of the legacy graph that run whole sequences, one after the other"


@pytest.mark.parametrize("options", [{"cell_clip": -1.0}, {"use_peephole": True, "cell_clip": 0.4}])
def test_fused_layers(tmp_path: Path, options: dict[str, Any]) -> None:
    saved = save(tmp_path, fuse((5, 4), forget_bias=0.2, **options), train=False)
    with open_loop(saved.prefix, [{"": "0/kernel"}, {"": "1/kernel"}]) as legacy:
        assert legacy.how == FUSED
        assert error(legacy.run(saved.inputs, saved.lengths), saved.answers) <= TOLERANCE
        assert error(legacy.run(saved.inputs), saved.answers) > FAR_OFF


def test_fused_layers_both_ways(tmp_path: Path) -> None:
    saved = save(tmp_path, fuse((5, 4), reversing=True), train=False)
    kernels = [{d: f"{d}_{layer}/kernel" for d in ("fw", "bw")} for layer in range(2)]
    with open_loop(saved.prefix, kernels) as legacy:
        assert error(legacy.run(saved.inputs, saved.lengths), saved.answers) <= TOLERANCE
        states = {"fw_c_0": np.ones((BATCH, 5), np.float32)}
        assert error(legacy.run(saved.inputs, saved.lengths, states), saved.answers) > FAR_OFF


def test_fused_layer_of_one_step_at_a_time(tmp_path: Path) -> None:
    """Feeding back the states of every step is the same as running the whole sequence."""
    saved = save(tmp_path, fuse(with_lengths=False), train=False)
    with open_loop(saved.prefix, [{"": "0/kernel"}]) as legacy:
        states: dict[str, Array] = {}
        for time in range(TIME):
            step = legacy.run(saved.inputs[:, time : time + 1], None, states)
            states = {name: step[name] for name in ("h_0", "c_0")}
            assert (
                np.abs(step["outputs"][:, 0] - saved.answers["outputs"][:, time]).max() <= TOLERANCE
            )


def test_loop_over_a_fused_layer(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        below = fuse()(inputs, lengths)
        above = unroll(Lstm(4))(below["outputs"], lengths)
        states = {"h_1": above["h_0"], "c_1": above["c_0"]}
        return {**below, **states, "outputs": above["outputs"]}

    check(save(tmp_path, build, train=False), [{"": "0/kernel"}, {"": KERNEL}], IteratedStep)


def test_fused_layer_that_takes_batch_for_time(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        swapped = tf.transpose(
            unroll(Lstm(), with_lengths=False)(inputs, lengths)["outputs"], [1, 0, 2]
        )
        return {"outputs": fuse(with_lengths=False)(swapped, lengths)["outputs"]}

    saved = save(tmp_path, build, train=False)
    with pytest.raises(UnsupportedError, match="takes the output of the one before as it is"):
        open_loop(saved.prefix, [{"": KERNEL}, {"": "0/kernel"}])


# Several cells in each direction.


def test_stacks_in_both_directions(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        cells = [Stack((Lstm(), Lstm(4, projection=2))) for _ in range(2)]
        (fw, bw), (fw_states, bw_states) = v1.nn.bidirectional_dynamic_rnn(
            *cells, inputs, lengths, dtype=tf.float32, scope="both"
        )
        above = v1.nn.dynamic_rnn(
            Gru(3), tf.concat([fw, bw], axis=2), lengths, dtype=tf.float32, scope="above"
        )
        states = {**name_states(fw_states, "fw_"), **name_states(bw_states, "bw_")}
        return {"outputs": above[0], **states, "h_2": above[1]}

    saved = save(tmp_path, build)
    name = "both/{}/cell_{}/lstm_cell/kernel"
    stacks = {d: tuple(name.format(d, index) for index in range(2)) for d in ("bw", "fw")}
    check(saved, [stacks, {"": "above/gru_cell/gates/kernel"}], WholeLoop)
    for wrong in ({d: names[::-1] for d, names in stacks.items()}, {"": stacks["fw"]}):
        with pytest.raises(UnsupportedError, match="takes the output of the one before as it is"):
            open_loop(saved.prefix, [wrong, {"": "above/gru_cell/gates/kernel"}])


@pytest.mark.parametrize("dropout", [dropout_by_floor, dropout_by_cast])
def test_dropout_is_off(tmp_path: Path, dropout: Any) -> None:
    """Dropout between the cells, which keeps everything while the golden is made."""

    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        keep = v1.placeholder_with_default(1.0, [], name="keep")
        cells = Stack((Lstm(), Gru(4)), between=lambda x: dropout(x, keep))
        return unroll(cells)(dropout(inputs, keep), lengths)

    saved = save(tmp_path, build)
    kernels = [{"": "rnn/cell_0/lstm_cell/kernel"}, {"": "rnn/cell_1/gru_cell/gates/kernel"}]
    check(saved, kernels, WholeLoop)


def test_constant_dropout_is_off(tmp_path: Path) -> None:
    cells = Stack((Lstm(), Lstm(4)), between=lambda x: dropout_by_cast(x, 0.5))
    plain, dropped = tmp_path / "plain", tmp_path / "dropped"
    plain.mkdir()
    dropped.mkdir()
    expected = save(plain, unroll(Stack((Lstm(), Lstm(4)))))
    found = save(dropped, unroll(cells))
    kernels = [{"": f"rnn/cell_{index}/lstm_cell/kernel"} for index in range(2)]
    assert error(found.answers, expected.answers) > FAR_OFF
    with open_loop(found.prefix, kernels) as legacy:
        assert error(legacy.run(found.inputs, found.lengths), expected.answers) <= TOLERANCE


def test_dropout_that_a_placeholder_switches(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        training = v1.placeholder_with_default(False, [], name="training")
        first = unroll(Lstm(), scope="first")(inputs, lengths)
        between = v1.cond(
            training,
            lambda: dropout_by_cast(first["outputs"], 0.5),
            lambda: tf.identity(first["outputs"]),
        )
        second = unroll(Lstm(4), scope="second")(between, lengths)
        states = {"h_0": first["h_0"], "c_0": first["c_0"]}
        states |= {"h_1": second["h_0"], "c_1": second["c_0"]}
        return {"outputs": second["outputs"], **states}

    kernels = [{"": f"{scope}/lstm_cell/kernel"} for scope in ("first", "second")]
    check(save(tmp_path, build), kernels, WholeLoop)


def test_layers_in_loops_of_their_own_both_ways(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        for layer, units in enumerate((5, 4)):
            (fw, bw), (fw_state, bw_state) = v1.nn.bidirectional_dynamic_rnn(
                Lstm(units),
                Lstm(units),
                inputs,
                lengths,
                scope=f"layer_{layer}",
                dtype=tf.float32,
            )
            inputs = tf.concat([fw, bw], axis=2)
            for direction, state in (("fw", fw_state), ("bw", bw_state)):
                names = name_states([state], f"{direction}_")
                answers |= {name[:-1] + str(layer): tensor for name, tensor in names.items()}
        return {"outputs": inputs, **answers}

    kernels = [
        {d: f"layer_{layer}/{d}/lstm_cell/kernel" for d in ("fw", "bw")} for layer in range(2)
    ]
    check(save(tmp_path, build), kernels, WholeLoop)


def test_unrolled_graph(tmp_path: Path) -> None:
    saved = save(tmp_path, unroll_by_hand(Stack((Lstm(), Lstm(4, projection=3)))))
    with open_loop(saved.prefix, layers_in(2, "rnn/cell_{}/lstm_cell/kernel")) as legacy:
        assert legacy.how == IteratedStep.how
        assert legacy.accepts_lengths
        assert error(legacy.run(saved.inputs), saved.answers) <= TOLERANCE


def test_packed_states(tmp_path: Path) -> None:
    saved = save(tmp_path, scan_by_hand(packed=True))
    with open_loop(saved.prefix, [{"": "LSTMcell/input_gate/wx"}]) as legacy:
        assert legacy.how == IteratedStep.how
        assert error(legacy.run(saved.inputs), saved.answers) <= TOLERANCE


def test_both_ways_of_running_agree(tmp_path: Path) -> None:
    """Lengths that all end before the time axis does, and states that are not zero."""
    looped, unrolled = tmp_path / "looped", tmp_path / "unrolled"
    looped.mkdir()
    unrolled.mkdir()
    saved = save(looped, unroll(Lstm()))
    other = save(unrolled, unroll_by_hand(Lstm()))
    random = np.random.default_rng(8)
    ends = np.array([0, 4, 2, 3], np.int32)
    states = {
        name: random.standard_normal((BATCH, UNITS)).astype(np.float32) for name in ("h_0", "c_0")
    }
    with open_loop(saved.prefix, ONE_LSTM) as loop, open_loop(other.prefix, ONE_LSTM) as step:
        assert (loop.how, step.how) == (WholeLoop.how, IteratedStep.how)
        found = loop.run(saved.inputs, ends, states)
        assert error(found, step.run(saved.inputs, ends, states)) <= TOLERANCE
        assert error(found, step.run(saved.inputs, ends)) > FAR_OFF
    assert not found["outputs"][:, 4:].any()
    np.testing.assert_array_equal(found["c_0"][0], states["c_0"][0])


def test_devices_are_forgotten(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        tensors = unroll(Lstm())(inputs, lengths)
        for operation in v1.get_default_graph().get_operations():
            if operation.type == "MatMul":
                operation._set_device("/job:worker/device:GPU:3")
        return tensors

    saved = save(tmp_path, unroll(Lstm()))
    prefix = saved.prefix.with_name("placed")
    export(prefix, build)
    with open_loop(prefix, ONE_LSTM, Loader(saved.prefix)) as legacy:
        assert error(legacy.run(saved.inputs, saved.lengths), saved.answers) <= TOLERANCE


def export(prefix: Path, build: Build) -> Path:
    """Writes the MetaGraph of a graph that cannot run here, without any weights."""
    path = prefix.with_name(prefix.name + ".meta")
    with tensorflow_1():
        inputs = v1.placeholder(tf.float32, [None, None, WIDTH], name="inputs")
        build(inputs, v1.placeholder(tf.int32, [None], name="lengths"))
        v1.train.export_meta_graph(str(path))
    return path


# What the graph is made for.


def test_sizes_that_the_graph_fixes(tmp_path: Path) -> None:
    saved = save(tmp_path, unroll(Lstm()), shape=(BATCH, TIME, WIDTH))
    with open_loop(saved.prefix, ONE_LSTM) as legacy:
        assert (legacy.fixed_batch, legacy.fixed_time) == (BATCH, TIME)
        assert error(legacy.run(saved.inputs, saved.lengths), saved.answers) <= TOLERANCE
        for wrong in (saved.inputs[:2], saved.inputs[:, :3]):
            with pytest.raises(UnsupportedError, match="where the graph is made for"):
                legacy.run(wrong)


def test_sizes_that_the_graph_leaves_open(tmp_path: Path) -> None:
    saved = save(tmp_path, unroll(Lstm()))
    with open_loop(saved.prefix, ONE_LSTM) as legacy:
        assert (legacy.fixed_batch, legacy.fixed_time) == (None, None)
        found = legacy.run(saved.inputs[:1, :2])
        assert found["outputs"].shape == (1, 2, UNITS)


def test_graph_without_lengths_takes_none(tmp_path: Path) -> None:
    saved = save(tmp_path, unroll(Lstm(), with_lengths=False))
    with open_loop(saved.prefix, ONE_LSTM) as legacy:
        assert not legacy.accepts_lengths
        assert error(legacy.run(saved.inputs, np.full(BATCH, TIME)), saved.answers) <= TOLERANCE
        with pytest.raises(UnsupportedError, match="does not take"):
            legacy.run(saved.inputs, saved.lengths)


def test_input_of_another_width(tmp_path: Path) -> None:
    saved = save(tmp_path, unroll(Lstm()))
    with (
        open_loop(saved.prefix, ONE_LSTM) as legacy,
        pytest.raises(UnsupportedError, match="running the legacy graph"),
    ):
        legacy.run(saved.inputs[..., :2])


# What cannot act as oracle.


@pytest.mark.parametrize(
    "between",
    [
        lambda x: 2.0 * x,
        lambda x: tf.divide(x, 0.5) * tf.cast(x >= 0.0, tf.float32),
        lambda x: tf.divide(x, 0.5) * tf.random.uniform(tf.shape(x)),
    ],
    ids=["factor", "mask", "noise"],
)
def test_something_else_between_the_layers(tmp_path: Path, between: Any) -> None:
    saved = save(tmp_path, unroll(Stack((Lstm(), Lstm(4)), between=between)))
    with pytest.raises(UnsupportedError, match="takes the output of the one before as it is"):
        open_loop(saved.prefix, layers_in(2, "rnn/cell_{}/lstm_cell/kernel"))


def test_layers_that_take_batch_for_time(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        first = unroll(Lstm(), with_lengths=False, scope="first", time_major=True)
        outputs = first(tf.transpose(inputs, [1, 0, 2]), lengths)["outputs"]
        return unroll(Lstm(), with_lengths=False, scope="second")(outputs, lengths)

    saved = save(tmp_path, build)
    with pytest.raises(UnsupportedError, match="takes the output of the one before as it is"):
        open_loop(saved.prefix, [{"": f"{s}/lstm_cell/kernel"} for s in ("first", "second")])


def test_sequence_reversed_before_the_layer_leaves_only_the_step(tmp_path: Path) -> None:
    build = unroll(Lstm(), with_lengths=False)
    saved = save(tmp_path, lambda inputs, lengths: build(tf.reverse(inputs, [1]), lengths))
    with open_loop(saved.prefix, ONE_LSTM) as legacy:
        assert legacy.how == IteratedStep.how
        assert error(legacy.run(saved.inputs[:, ::-1]), saved.answers) <= TOLERANCE


def test_states_that_are_one_tensor(tmp_path: Path) -> None:
    class Shared(Lstm):
        def zero_state(self, batch: Any, dtype: Any) -> Any:
            zeros = tf.zeros([batch, UNITS])
            return (zeros, zeros)

    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    with pytest.raises(UnsupportedError, match="not all different tensors"):
        open_loop(save(one, unroll_by_hand(Shared(), steps=1)).prefix, ONE_LSTM)
    saved = save(two, unroll_by_hand(Shared(), steps=2))
    with open_loop(saved.prefix, ONE_LSTM) as legacy:
        assert error(legacy.run(saved.inputs[:, :2]), saved.answers) <= TOLERANCE


def test_output_that_is_changed_leaves_only_the_step(tmp_path: Path) -> None:
    saved = save(tmp_path, unroll(Lstm(after=lambda h, x: 2.0 * h)))
    with open_loop(saved.prefix, ONE_LSTM) as legacy:
        assert legacy.how == IteratedStep.how
        found = legacy.run(saved.inputs, saved.lengths)
    doubled = {**found, "outputs": 2.0 * found["outputs"]}
    assert error(doubled, saved.answers) <= TOLERANCE


def test_checkpoint_of_another_size(tmp_path: Path) -> None:
    saved = save(tmp_path, unroll(Lstm()))
    load = Loader(saved.prefix)
    with pytest.raises(UnsupportedError, match="as the graph says"):
        open_loop(saved.prefix, ONE_LSTM, lambda name: load(name)[..., :-1])


@pytest.mark.parametrize(
    "harm",
    [
        lambda x: tf.io.decode_raw(tf.io.read_file("secret"), tf.float32)[: tf.size(x)],
        lambda x: v1.py_func(lambda a: a, [x], tf.float32),
        lambda x: x + tf.random.uniform([]),
        lambda x: x + v1.placeholder(tf.float32, [], name="unfed"),
    ],
    ids=["file", "python", "chance", "placeholder"],
)
def test_ops_that_do_more_than_compute(tmp_path: Path, harm: Any) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        return {"outputs": tf.identity(harm(inputs), name="harmed")}

    graph = read_metagraph(export(tmp_path / "harm", build))
    cuts = [Cut("fed", Tensor("inputs"), (-1, -1, -1))]
    with pytest.raises(UnsupportedError, match="ops that compute and do nothing else"):
        extract(graph, [Tensor("harmed")], cuts, lambda name: pytest.fail(name))


def test_harm_before_the_cut_is_left_out(tmp_path: Path) -> None:
    """Input pipelines read files; the recurrent part is fed behind them."""

    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        read = v1.py_func(lambda a: a, [inputs], tf.float32)
        read.set_shape([None, None, WIDTH])
        return unroll(Lstm())(read, lengths)

    check(save(tmp_path, build), ONE_LSTM, WholeLoop)


def test_initial_state_of_the_graph_is_not_used(tmp_path: Path) -> None:
    """The oracle begins with the states that it is given, or zeros."""

    class Trained(Gru):
        def zero_state(self, batch: Any, dtype: Any) -> Any:
            return tf.tile(variable("first", [1, UNITS]), [batch, 1])

    saved = save(tmp_path, unroll(Trained()))
    load = Loader(saved.prefix)
    with open_loop(saved.prefix, [{"": "rnn/gru_cell/gates/kernel"}], load) as legacy:
        assert "first" not in load.names
        first = np.tile(load("first"), (BATCH, 1))
        found = legacy.run(saved.inputs, saved.lengths, {"h_0": first})
        assert error(found, saved.answers) <= TOLERANCE
        assert error(legacy.run(saved.inputs, saved.lengths), saved.answers) > FAR_OFF


# Real models.


def zoo_run(prefix: Path, *kernels: str) -> tuple[LegacyLoop, Loader, dict[str, Array]]:
    load = Loader(prefix)
    legacy = open_loop(prefix, [{"": name} for name in kernels], load)
    with np.load(prefix.parent / "golden.npz") as golden:
        return legacy, load, dict(golden)


def test_real_loop_with_a_dense_layer_before_it(zoo: Path) -> None:
    legacy, load, golden = zoo_run(zoo / "arima_lstm/sunld.model", "rnn/basic_lstm_cell/kernel")
    inputs = golden["in:Placeholder:0"] @ load("Variable") + load("Variable_2")
    assert (legacy.how, legacy.fixed_batch, legacy.fixed_time) == (WholeLoop.how, 60, 20)
    outputs = legacy.run(inputs)["outputs"]
    np.testing.assert_allclose(outputs, golden["out:rnn/transpose:0"], atol=TOLERANCE)


def test_real_peepholes(zoo: Path) -> None:
    names = [f"rnn/multi_rnn_cell/cell_{i}/cell_{i + 1}/kernel" for i in range(2)]
    legacy, _, golden = zoo_run(zoo / "gentext_lstm/model.ckpt", *names)
    outputs = legacy.run(golden["in:Placeholder:0"].astype(np.float32))["outputs"]
    np.testing.assert_allclose(outputs, golden["out:rnn/transpose_1:0"], atol=TOLERANCE)


def test_real_unrolled_language_model(zoo: Path) -> None:
    names = [f"rnnlm/multi_rnn_cell/cell_{i}/basic_lstm_cell/weights" for i in range(2)]
    legacy, load, golden = zoo_run(zoo / "charrnn_sp/model.ckpt-67949", *names)
    hidden = legacy.run(load("rnnlm/embedding")[golden["in:Placeholder:0"]])["outputs"]
    logits = hidden @ load("rnnlm/softmax_w") + load("rnnlm/softmax_b")
    expected = golden["out:add:0"].reshape(logits.shape)
    # Logits of this model reach 53, and it amplifies the noise of float32 from step to step.
    assert np.abs(logits - expected)[:, :5].max() <= 5e-5


def test_real_gru_by_hand(zoo: Path) -> None:
    legacy, _, golden = zoo_run(
        zoo / "wind_gru/GRUGenetic_FORE-160000", "weights_and_biases/Suggestion_weight"
    )
    inputs = golden["in:placeholders/input_data:0"].swapaxes(0, 1)
    first = {"h_0": golden["in:placeholders/initial_states:0"]}
    outputs = legacy.run(inputs, initial_states=first)["outputs"].swapaxes(0, 1)
    expected = golden["out:forward_roll/scan/TensorArrayStack/TensorArrayGatherV3:0"]
    np.testing.assert_allclose(outputs[:5], expected[:5], atol=5e-6)
