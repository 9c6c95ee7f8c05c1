"""Bad input from end to end: one clear message, the right exit status, and nothing written."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rnn_migrator.errors import ExitStatus, MigrationError
from rnn_migrator.migration import Request, convert
from tests.legacy_lab.cases import Case, load_cases

CASES = load_cases()
FIRST = "rnn__multi_rnn_cell__cell_0__lstm_cell__kernel.csv"
SECOND = "rnn__multi_rnn_cell__cell_1__lstm_cell__kernel.csv"


def copied(name: str, folder: Path) -> Case:
    """A case of the lab that may be damaged."""
    case = CASES[name]
    copy = shutil.copytree(case.folder, folder / "source")
    return dataclasses.replace(
        case,
        folder=copy,
        source=copy / case.source.name if case.source != case.folder else copy,
        architecture=copy / case.architecture.name if case.architecture else None,
    )


def asked(case: Case, *settings: str) -> Request:
    return Request(case.source, case.architecture, settings)


def cut(file: Path, keep: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])


# Checkpoints


def truncated_data(folder: Path) -> Request:
    case = copied("tf1_stacked_lstm_no_meta", folder)
    cut(next(case.folder.glob("*.data-*")), 0.5)
    return asked(case, "forget_bias=1")


def truncated_index(folder: Path) -> Request:
    case = copied("tf1_stacked_lstm_no_meta", folder)
    cut(next(case.folder.glob("*.index")), 0.5)
    return asked(case)


def missing_shard(folder: Path) -> Request:
    case = copied("tf1_basic_lstm_fb1", folder)
    data = next(case.folder.glob("*.data-*"))
    data.rename(data.with_name(data.name.replace("00000-of-00001", "00000-of-00002")))
    return asked(case)


def missing_index(folder: Path) -> Request:
    case = copied("tf1_basic_lstm_fb1", folder)
    next(case.folder.glob("*.index")).unlink()
    return asked(case)


def truncated_graph(folder: Path) -> Request:
    case = copied("tf1_basic_lstm_fb1", folder)
    cut(next(case.folder.glob("*.meta")), 0.5)
    return asked(case)


def two_stacks(folder: Path) -> Request:
    return asked(copied("tf1_two_scopes", folder))


def graph_as_source(folder: Path) -> Request:
    case = copied("tf1_basic_lstm_fb1", folder)
    return Request(next(case.folder.glob("*.meta")))


def architecture_for_a_checkpoint(folder: Path) -> Request:
    case = copied("tf1_basic_lstm_fb1", folder)
    (folder / "model.json").write_text("{}")
    return Request(case.source, folder / "model.json")


# Dumps


def dump(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Request:
    """The lab's NPZ dump, changed."""
    case = copied("tf1_stacked_lstm_npz", folder)
    with np.load(case.source) as arrays:
        np.savez(case.source, **change(dict(arrays)))
    return asked(case, "forget_bias=1")


def table(folder: Path, name: str, change: Callable[[list[str]], list[str]]) -> Request:
    """The lab's CSV dump, one table changed line by line."""
    case = copied("tf1_stacked_lstm_csv", folder)
    file = case.source / name
    file.write_text("\n".join(change(file.read_text().splitlines())))
    return asked(case, "forget_bias=1", "input_size=4")


def short_table(folder: Path) -> Request:
    return table(folder, SECOND, lambda rows: rows[:-1])


def short_first_table(folder: Path) -> Request:
    return table(folder, FIRST, lambda rows: rows[:-1])


def long_table(folder: Path) -> Request:
    return table(folder, SECOND, lambda rows: [*rows, rows[0]])


def ragged_table(folder: Path) -> Request:
    return table(folder, FIRST, lambda rows: [rows[0].rsplit(",", 1)[0], *rows[1:]])


def table_with_nan(folder: Path) -> Request:
    return table(folder, FIRST, lambda rows: ["nan," + rows[0].split(",", 1)[1], *rows[1:]])


def table_with_header(folder: Path) -> Request:
    return table(folder, FIRST, lambda rows: ["i,c,f,o", *rows])


def empty_table(folder: Path) -> Request:
    return table(folder, FIRST, lambda rows: [])


def kernel(arrays: dict[str, Any], layer: int = 0) -> str:
    return f"rnn/multi_rnn_cell/cell_{layer}/lstm_cell/kernel"


def wrong_shape(folder: Path) -> Request:
    return dump(folder, lambda arrays: arrays | {kernel(arrays): np.ones((11, 27), np.float32)})


def other_numbers(folder: Path) -> Request:
    return dump(folder, lambda a: a | {kernel(a): a[kernel(a)].astype(np.float64)})


def unknown_cell(folder: Path) -> Request:
    extra = {"rnn/nas_cell/kernel": np.ones((3, 40), np.float32)}
    return dump(folder, lambda arrays: extra)


def one_peephole(folder: Path) -> Request:
    extra = {"rnn/multi_rnn_cell/cell_0/lstm_cell/w_f_diag": np.ones(7, np.float32)}
    return dump(folder, lambda arrays: arrays | extra)


def missing_bias(folder: Path) -> Request:
    lost = "rnn/multi_rnn_cell/cell_1/lstm_cell/bias"
    return dump(folder, lambda arrays: {n: a for n, a in arrays.items() if n != lost})


def missing_layer(folder: Path) -> Request:
    return dump(folder, lambda arrays: {n: a for n, a in arrays.items() if "cell_1" not in n})


def nothing_recurrent(folder: Path) -> Request:
    return dump(folder, lambda arrays: {"dense/kernel": np.ones((3, 4), np.float32)})


def pickled_array(folder: Path) -> Request:
    return dump(folder, lambda arrays: arrays | {kernel(arrays): np.array([{}], dtype=object)})


def cut_npz(folder: Path) -> Request:
    case = copied("tf1_stacked_lstm_npz", folder)
    cut(case.source, 0.7)
    return asked(case)


def square_gates_of_unknown_names(folder: Path) -> Request:
    shapes = {"a": (4, 4), "b": (4, 4), "c": (4,)}
    gates = ("input_gate", "forget_gate", "memory_cell", "output_gate")
    arrays = {
        f"cell/{gate}/{part}": np.ones(shape, np.float32)
        for gate in gates[:1]
        for part, shape in shapes.items()
    }
    named = {"wx": (4, 4), "wt": (4, 4), "bi": (4,)}
    arrays |= {
        f"cell/{gate}/{part}": np.ones(shape, np.float32)
        for gate in gates[1:]
        for part, shape in named.items()
    }
    return dump(folder, lambda _: arrays)


def two_formats(folder: Path) -> Request:
    case = copied("tf1_stacked_lstm_no_meta", folder)
    np.save(case.folder / "bias.npy", np.ones(3))
    return asked(case)


# Keras files


def cut_hdf5(folder: Path) -> Request:
    case = copied("keras2_cudnn_lstm", folder)
    cut(case.source, 0.6)
    return asked(case)


def no_architecture(folder: Path) -> Request:
    case = copied("keras2_cudnn_lstm_weights", folder)
    return Request(case.source)


def architecture(folder: Path, name: str, change: Callable[[list[Any]], Any]) -> Request:
    """Weights with an architecture that was changed layer by layer."""
    case = copied(name, folder)
    assert case.architecture is not None
    config = json.loads(case.architecture.read_text())
    change(config["config"]["layers"])
    case.architecture.write_text(json.dumps(config))
    return asked(case)


def cudnn_bias_unexpected(folder: Path) -> Request:
    """The architecture says LSTM, the first layer's weights are a CuDNNLSTM's."""

    def change(layers: list[Any]) -> None:
        layers[0]["class_name"] = "LSTM"
        layers[0]["config"] |= {"activation": "tanh", "recurrent_activation": "hard_sigmoid"}

    return architecture(folder, "keras2_cudnn_lstm_weights", change)


def cudnn_bias_expected(folder: Path) -> Request:
    def change(layers: list[Any]) -> None:
        layers[0]["class_name"] = "CuDNNLSTM"

    return architecture(folder, "keras2_lstm_hard_sigmoid_weights", change)


def lambda_layer(folder: Path) -> Request:
    def change(layers: list[Any]) -> None:
        code = {"name": "lambda_1", "function": ["4wEAAAA=", None, None]}
        layers.append({"class_name": "Lambda", "config": code})

    return architecture(folder, "keras2_cudnn_lstm_weights", change)


def head_of_other_weights(folder: Path) -> Request:
    def change(layers: list[Any]) -> None:
        layers[-1]["config"]["units"] += 1

    return architecture(folder, "keras2_cudnn_lstm_weights", change)


def stateful_layer(folder: Path) -> Request:
    def change(layers: list[Any]) -> None:
        layers[0]["config"]["stateful"] = True

    return architecture(folder, "keras2_cudnn_lstm_weights", change)


def hostile_yaml(folder: Path) -> Request:
    case = copied("keras2_cudnn_lstm_weights", folder)
    file = folder / "source" / "architecture.yaml"
    mark = folder / "mark"
    file.write_text(f"class_name: !!python/object/apply:os.system ['touch {mark}']\n")
    return Request(case.source, file)


def junk_config(folder: Path) -> Request:
    case = copied("keras2_cudnn_lstm", folder)
    with h5py.File(case.source, "a") as file:
        file.attrs["model_config"] = b'{"class_name": "Sequential", "config"'
    return asked(case)


def external_link(folder: Path) -> Request:
    case = copied("keras2_cudnn_lstm", folder)
    shutil.copy(case.source, case.folder / "other.h5")
    path = "model_weights/cu_dnnlstm_1/cu_dnnlstm_1/bias:0"
    with h5py.File(case.source, "a") as file:
        del file[path]
        file[path] = h5py.ExternalLink("other.h5", path)
    return asked(case)


# Usage


def nothing_there(folder: Path) -> Request:
    return Request(folder / "model.ckpt")


def text_file(folder: Path) -> Request:
    (folder / "model.h5").write_text("not a model")
    return Request(folder / "model.h5")


def unknown_setting(folder: Path) -> Request:
    return asked(copied("tf1_basic_lstm_fb1", folder), "forget=1")


def setting_of_no_layer(folder: Path) -> Request:
    return asked(copied("tf1_basic_lstm_fb1", folder), "layer[3].forget_bias=1")


def assumption_under_strict(folder: Path) -> Request:
    case = copied("tf1_stacked_lstm_npz", folder)
    settled = (
        "activation=tanh",
        "cell_clip=none",
        "layer[0].forget_bias=1",
        "layer[1].forget_bias=1",
    )
    return dataclasses.replace(asked(case, *settled), strict=True)


USAGE, UNSUPPORTED, UNREADABLE = ExitStatus.USAGE, ExitStatus.UNSUPPORTED, ExitStatus.UNREADABLE

BAD: dict[Callable[[Path], Request], tuple[ExitStatus, str]] = {
    truncated_data: (UNREADABLE, "model.ckpt"),
    truncated_index: (UNREADABLE, "model.ckpt"),
    missing_shard: (UNREADABLE, "no model.ckpt.data-00000-of-00001"),
    missing_index: (UNREADABLE, "no model.ckpt.index"),
    truncated_graph: (UNREADABLE, "model.ckpt.meta"),
    two_stacks: (UNSUPPORTED, "--set scope=decoder/rnn or --set scope=encoder/rnn"),
    graph_as_source: (UNSUPPORTED, "a graph"),
    architecture_for_a_checkpoint: (USAGE, "leave the option out"),
    short_table: (UNSUPPORTED, "an input of width 7, which lstm_0 gives"),
    short_first_table: (UNSUPPORTED, "an input of width 4 (--set input_size=4)"),
    long_table: (UNSUPPORTED, "an input of width 8"),
    ragged_table: (UNREADABLE, "as many in each row"),
    table_with_nan: (UNREADABLE, "1 NaN or infinite values of 308"),
    table_with_header: (UNREADABLE, FIRST),
    empty_table: (UNREADABLE, "an empty file"),
    wrong_shape: (UNSUPPORTED, "[11, 27]"),
    other_numbers: (UNSUPPORTED, "float64"),
    unknown_cell: (UNSUPPORTED, "NASCell"),
    one_peephole: (UNSUPPORTED, "all or none of w_i_diag"),
    missing_bias: (UNSUPPORTED, "no bias"),
    missing_layer: (UNSUPPORTED, "layers 0, 2"),
    nothing_recurrent: (UNSUPPORTED, "no recurrent cell of a known name"),
    pickled_array: (UNREADABLE, "dtype object"),
    cut_npz: (UNREADABLE, "weights.npz"),
    square_gates_of_unknown_names: (UNSUPPORTED, "--set kernel_name=NAME"),
    two_formats: (UNSUPPORTED, "files of several formats"),
    cut_hdf5: (UNREADABLE, "model.h5"),
    no_architecture: (UNSUPPORTED, "--architecture"),
    cudnn_bias_unexpected: (UNSUPPORTED, "--set 'layer[cu_dnnlstm_1].class=CuDNNLSTM'"),
    cudnn_bias_expected: (UNSUPPORTED, "shape [40]"),
    lambda_layer: (UNSUPPORTED, "Lambda"),
    head_of_other_weights: (UNSUPPORTED, "layer 'dense_1'"),
    stateful_layer: (UNSUPPORTED, "a fixed batch size"),
    hostile_yaml: (USAGE, "could not determine a constructor"),
    junk_config: (UNREADABLE, "no JSON"),
    external_link: (UNREADABLE, "a link elsewhere"),
    nothing_there: (USAGE, "nothing at this path"),
    text_file: (UNREADABLE, "content that begins like none of them"),
    unknown_setting: (USAGE, "unknown key 'forget'"),
    setting_of_no_layer: (USAGE, "layer[3]"),
    assumption_under_strict: (UNSUPPORTED, "lstm_2, forget_bias"),
}


def everything_under(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_bad_input_is_refused_in_one_message(
    bad: Callable[[Path], Request], tmp_path: Path
) -> None:
    status, text = BAD[bad]
    request = bad(tmp_path)
    before = everything_under(tmp_path)
    with pytest.raises(MigrationError) as caught:
        convert(request, tmp_path / "output")
    assert caught.value.status == status
    problem, *others = caught.value.problems
    where = problem.where.split(",")[0]
    assert all(other.where.startswith(where) for other in others)
    for part in dataclasses.astuple(problem):
        assert part.strip()
        assert "\n" not in part
        assert "Traceback" not in part
    assert text in str(problem)
    assert everything_under(tmp_path) == before


def test_every_refused_input_was_good_before(tmp_path: Path) -> None:
    """What the mistakes are made from converts, so that each refusal is one of its mistake."""
    used = {
        "tf1_stacked_lstm_no_meta": (),
        "tf1_stacked_lstm_csv": ("input_size=4",),
        "tf1_stacked_lstm_npz": (),
        "tf1_basic_lstm_fb1": (),
        "keras2_cudnn_lstm": (),
        "keras2_cudnn_lstm_weights": (),
        "keras2_lstm_hard_sigmoid_weights": (),
    }
    from rnn_migrator.migration import recognise_source

    for name, settings in used.items():
        (tmp_path / name).mkdir()
        assert recognise_source(asked(copied(name, tmp_path / name), *settings)).model.nodes
