"""Tests of reading a MetaGraph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.errors import UnreadableError
from rnn_migrator.readers import metagraph
from rnn_migrator.readers.metagraph import Graph, Tensor, read_metagraph
from tests.legacy_lab.cases import Case
from tests.recognition.legacy_graphs import Lstm, save, unroll, v1


@pytest.fixture(scope="module")
def meta(cases: dict[str, Case]) -> Path:
    return cases["tf1_basic_lstm_fb0"].folder / "model.ckpt.meta"


@pytest.fixture(scope="module")
def graph(meta: Path) -> Graph:
    return read_metagraph(meta)


def edited(meta: Path, folder: Path, edit: Callable[[Any], None]) -> Path:
    """Returns a copy of a MetaGraph after an edit."""
    from tensorflow.core.protobuf import meta_graph_pb2

    content = meta_graph_pb2.MetaGraphDef.FromString(meta.read_bytes())
    edit(content)
    path = folder / "edited.meta"
    path.write_bytes(content.SerializeToString())
    return path


def test_what_wrote_the_file(graph: Graph) -> None:
    assert graph.tensorflow_version == "1.15.5"
    assert graph.definition.versions.producer == 134


def test_edges_lead_both_ways(graph: Graph) -> None:
    [split] = graph.with_op("Split")
    for port in range(4):
        [use, *_] = graph.consumers(Tensor(split.name, port))
        assert use.node.inputs[use.position] == Tensor(split.name, port)
    assert graph.producer(split.inputs[1]).op == "BiasAdd"
    assert graph.consumers(Tensor(split.name, 4)) == ()


def test_ops_go_without_their_version(graph: Graph) -> None:
    assert {node.op for node in graph.with_op("TensorArrayRead")} == {"TensorArrayReadV3"}
    assert not list(graph.with_op("TensorArrayReadV3"))


def test_control_edges_are_no_data(graph: Graph) -> None:
    node = next(node for node in graph.nodes.values() if node.controls and node.inputs)
    assert not any(tensor.node.startswith("^") for tensor in node.inputs)
    assert all(name in graph.nodes for name in node.controls)


def test_constants(graph: Graph) -> None:
    axis = graph.producer(next(graph.with_op("Split")).inputs[0])
    assert graph.value(axis) == 1
    assert graph.value(next(graph.with_op("Split"))) is None


def test_variables_by_their_names_in_the_checkpoint(graph: Graph, cases: dict[str, Case]) -> None:
    saved = cases["tf1_basic_lstm_fb0"].variables
    assert set(graph.variables) == set(saved)
    for name, shape in saved.items():
        assert graph.variable_shape(name) == shape


def test_variables_that_the_saver_renames(tmp_path: Path) -> None:
    names = {"rnn/lstm_cell/kernel": "net/K", "rnn/lstm_cell/bias": "net/b"}
    graph = read_metagraph(save(tmp_path, unroll(Lstm()), names=names).meta)
    assert graph.variables["net/K"] == "rnn/lstm_cell/kernel"
    assert graph.keys["rnn/lstm_cell/bias"] == "net/b"
    assert "rnn/lstm_cell/kernel" not in graph.variables


def test_partitioned_variables(tmp_path: Path) -> None:
    """A Saver keeps all parts as one tensor; the graph says which part a variable is."""

    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        with v1.variable_scope("", partitioner=v1.fixed_size_partitioner(3)):
            return unroll(Lstm())(inputs, lengths)

    saved = save(tmp_path, build)
    graph = read_metagraph(saved.meta)
    kernels = [f"rnn/lstm_cell/kernel/part_{index}" for index in range(3)]
    reader = tf.train.load_checkpoint(str(saved.prefix))
    whole = reader.get_tensor("rnn/lstm_cell/kernel")
    parts = [graph.parts[graph.variables[name]] for name in kernels]
    assert {part.name for part in parts} == {"rnn/lstm_cell/kernel"}
    np.testing.assert_array_equal(np.concatenate([whole[part.ranges] for part in parts]), whole)
    assert [list(whole[part.ranges].shape) for part in parts] == [
        list(graph.variable_shape(name)) for name in kernels
    ]
    assert "rnn/lstm_cell/kernel" not in graph.variables


def test_variables_that_are_whole_are_no_parts(graph: Graph) -> None:
    assert not graph.parts


@pytest.mark.parametrize("text", ["", "8 20", "nonsense", "8 20 0,4:-1,3"])
def test_texts_that_are_no_range(text: str) -> None:
    assert metagraph._ranges(text) == ()


def test_ranges_of_a_part() -> None:
    assert metagraph._ranges("8 20 2,4:-") == (slice(2, 6), slice(None))


def test_names_of_another_saver_do_not_count(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        tensors = unroll(Lstm())(inputs, lengths)
        v1.train.Saver({f"averaged/{v.op.name}": v for v in v1.global_variables()})
        return tensors

    graph = read_metagraph(save(tmp_path, build, train=False).meta)
    assert set(graph.variables) == {"rnn/lstm_cell/kernel", "rnn/lstm_cell/bias"}


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999])
def test_file_cut_short(meta: Path, tmp_path: Path, kept: float) -> None:
    content = meta.read_bytes()
    path = tmp_path / "cut.meta"
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UnreadableError, match="whole MetaGraph"):
        read_metagraph(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"model_checkpoint_path: 'model.ckpt'\n", bytes(range(256)) * 40],
    ids=["nothing", "text", "noise"],
)
def test_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.meta"
    path.write_bytes(content)
    with pytest.raises(UnreadableError):
        read_metagraph(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no readable file"):
        read_metagraph(tmp_path / "absent.meta")


def test_file_over_the_limit(meta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metagraph, "SIZE_LIMIT", 1000)
    with pytest.raises(UnreadableError, match="limit"):
        read_metagraph(meta)


def node_of(content: Any, op: str) -> Any:
    return next(node for node in content.graph_def.node if node.op == op)


def read_nothing(content: Any) -> None:
    node_of(content, "MatMul").input[0] = "absent"


def wait_for_nothing(content: Any) -> None:
    node_of(content, "NoOp").input.append("^absent")


def read_no_output(content: Any) -> None:
    node_of(content, "BiasAdd").input[0] += ":1"


def lose_an_input(content: Any) -> None:
    del node_of(content, "MatMul").input[1]


def gain_an_input(content: Any) -> None:
    node = node_of(content, "Split")
    node.input.append(node.input[0])


def lose_an_attribute(content: Any) -> None:
    del node_of(content, "Split").attr["num_split"]


def change_an_attribute(content: Any) -> None:
    node_of(content, "Split").attr["num_split"].s = b"four"


def split_into_none(content: Any) -> None:
    node_of(content, "Split").attr["num_split"].i = 0


def double_a_name(content: Any) -> None:
    content.graph_def.node.add(name=content.graph_def.node[0].name, op="NoOp")


@pytest.mark.parametrize(
    ("edit", "received"),
    [
        (read_nothing, "reads 'absent', which does not exist"),
        (wait_for_nothing, "waits for 'absent', which does not exist"),
        (read_no_output, "which has no such output"),
        (lose_an_input, "a MatMul of 1 inputs"),
        (gain_an_input, "a Split of 3 inputs"),
        (lose_an_attribute, "a Split without attribute num_split"),
        (change_an_attribute, "a Split with a wrong attribute num_split"),
        (split_into_none, "a Split with a wrong attribute num_split"),
        (double_a_name, "two nodes of the name"),
    ],
)
def test_nodes_that_do_not_fit_together(
    meta: Path, tmp_path: Path, edit: Callable[[Any], None], received: str
) -> None:
    with pytest.raises(UnreadableError, match=received):
        read_metagraph(edited(meta, tmp_path, edit))


def test_op_that_nobody_knows_is_let_through(meta: Path, tmp_path: Path) -> None:
    def edit(content: Any) -> None:
        content.graph_def.node.add(
            name="own", op="OwnKernel", input=[content.graph_def.node[0].name]
        )

    assert read_metagraph(edited(meta, tmp_path, edit)).nodes["own"].op == "OwnKernel"


def test_constant_that_claims_gigabytes_is_not_decoded(meta: Path, tmp_path: Path) -> None:
    def edit(content: Any) -> None:
        node = content.graph_def.node.add(name="huge", op="Const")
        node.attr["dtype"].type = 1
        tensor = node.attr["value"].tensor
        tensor.dtype, tensor.float_val[:] = 1, [0.5]
        for _ in range(2):
            tensor.tensor_shape.dim.add(size=1 << 20)

    graph = read_metagraph(edited(meta, tmp_path, edit))
    assert graph.value(graph.nodes["huge"]) is None


def test_constant_that_does_not_fit_its_shape(meta: Path, tmp_path: Path) -> None:
    def edit(content: Any) -> None:
        node = content.graph_def.node.add(name="odd", op="Const")
        node.attr["dtype"].type = 1
        tensor = node.attr["value"].tensor
        tensor.dtype, tensor.tensor_content = 1, np.zeros(3, np.float32).tobytes()
        tensor.tensor_shape.dim.add(size=4)

    graph = read_metagraph(edited(meta, tmp_path, edit))
    with pytest.raises(UnreadableError, match="odd cannot be decoded"):
        graph.value(graph.nodes["odd"])
