"""The command's contract: arguments, exit status, what is printed where, what is left behind."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from rnn_migrator.cli.main import main


@pytest.fixture(scope="module")
def converted(cases, tmp_path_factory):
    """The stacked checkpoint without its graph, converted once."""
    output = tmp_path_factory.mktemp("cli") / "converted"
    case = cases["tf1_stacked_lstm_no_meta"]
    assert main(["convert", str(case.source), str(output)]) == 0
    return case, output


def _json(capsys):
    return json.loads(capsys.readouterr().out)


def test_inspect_says_what_is_there(cases, capsys):
    case = cases["tf1_stacked_lstm_csv"]
    assert main(["inspect", str(case.source), "--json"]) == 0
    document = _json(capsys)
    assert [layer["units"] for layer in document["layers"]] == [7, 5, 6]
    assumed = {fact["name"] for fact in document["facts"] if fact["origin"] == "assumed"}
    assert assumed == {"forget_bias", "activation", "cell_clip"}
    assert main(["inspect", str(case.source), "--set", "forget_bias=1.0"]) == 0
    assert "--set forget_bias=1.0" in capsys.readouterr().out


def test_inspect_lists_problems_with_remedies(cases, capsys):
    assert main(["inspect", str(cases["tf1_two_scopes"].source), "--json"]) == 3
    document = _json(capsys)
    [problem] = document["problems"]
    assert "encoder/rnn" in problem["received"]
    assert "--set scope=encoder/rnn" in problem["remedy"]
    assert not any("Adam" in name for name in document["tensors"])
    assert document["parts"] == {"encoder/rnn": "2 x LSTMCell", "decoder/rnn": "1 x GRUCell"}


@pytest.mark.parametrize("name", ["keras2_own_layer", "keras1_gone_layers"])
def test_inspect_reports_the_rest_of_what_is_refused(cases, capsys, name):
    assert main(["inspect", str(cases[name].source), "--json"]) == 3
    document = _json(capsys)
    assert document["parts"]["lstm"] == "LSTM"
    assert len(document["problems"]) == {"keras2_own_layer": 1, "keras1_gone_layers": 3}[name]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2, "run the same command again"),
        (RuntimeError("what nobody thought of"), 70, "a defect of rnn-migrate"),
    ],
)
def test_what_is_no_refusal(cases, capsys, monkeypatch, error, status, said):
    def fail(arguments):
        raise error

    monkeypatch.setattr("rnn_migrator.cli.inspect.run", fail)
    assert main(["inspect", str(cases["tf1_two_scopes"].source)]) == status
    assert said in " ".join(capsys.readouterr().err.split())


def test_convert_writes_three_things(converted):
    _, output = converted
    names = {path.name for path in output.iterdir()}
    assert names == {"saved_model", "model.keras", "conversion.json"}
    assert [p.name for p in output.parent.iterdir()] == ["converted"], "scratch left behind"


def test_convert_keeps_what_exists_unless_forced(converted, capsys):
    case, output = converted
    before = (output / "conversion.json").stat().st_mtime_ns
    assert main(["convert", str(case.source), str(output)]) == 2
    assert "--force" in capsys.readouterr().err
    assert (output / "conversion.json").stat().st_mtime_ns == before
    assert main(["convert", str(case.source), str(output), "--force"]) == 0
    assert (output / "conversion.json").stat().st_mtime_ns > before


def test_verify_says_equivalent_and_names_assumptions(converted, capsys):
    case, output = converted
    assert main(["verify", str(case.source), str(output), "--json"]) == 0
    document = _json(capsys)
    assert document["equivalent"]
    assert document["verdict"] == "not blessed"
    assert any("forget_bias=1.0" in text for text in document["unconfirmed"])


def test_verify_runs_one_case_alone(converted, capsys):
    case, output = converted
    only = ["verify", str(case.source), str(output), "--only", "ragged", "--json"]
    assert main(only) == 0
    assert _json(capsys)["cases"] == {"sent": 1, "compared": ["ragged"]}
    assert main([*only[:-1], "--only", "nonsense"]) == 2
    told = capsys.readouterr().err
    assert "--only nonsense" in told
    assert "saturating" in told


def test_verify_writes_a_page(converted, tmp_path, capsys):
    case, output = converted
    page = tmp_path / "report.html"
    assert main(["verify", str(case.source), str(output), "--report", str(page)]) == 0
    assert "not proven" in page.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_recorded_outputs_settle_assumptions(converted, capsys):
    case, output = converted
    golden = str(case.goldens["with_lengths"])
    assert main(["verify", str(case.source), str(output), "--golden", golden, "--json"]) == 0
    assert _json(capsys)["verdict"] == "blessed"


def test_a_wrong_fact_is_not_equivalent(cases, tmp_path, capsys):
    case = cases["tf1_stacked_lstm_no_meta"]
    output = str(tmp_path / "out")
    assert main(["convert", str(case.source), output, "--set", "forget_bias=0"]) == 0
    golden = str(case.goldens["serving_default"])
    assert main(["verify", str(case.source), output, "--golden", golden]) == 1
    assert "not equivalent" in capsys.readouterr().out


def test_strict_refuses_assumptions_and_writes_nothing(cases, tmp_path, capsys):
    source = str(cases["tf1_stacked_lstm_no_meta"].source)
    assert main(["convert", source, str(tmp_path / "out"), "--strict"]) == 3
    assert "--set forget_bias=1.0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_config_file_and_command_line_agree(cases, tmp_path):
    case = cases["keras2_cudnn_lstm_weights"]
    config = tmp_path / "config.yaml"
    config.write_text(f"target: cpu\narchitecture: {case.architecture}\nset: {{}}\n")
    output = tmp_path / "out"
    assert main(["convert", str(case.source), str(output), "--config", str(config)]) == 0
    document = json.loads((output / "conversion.json").read_text())
    assert document["target"] == "cpu"
    assert document["examples_signature"] is False


@pytest.mark.parametrize("way", ["option", "config"])
def test_a_signature_for_records_is_asked_for(cases, tmp_path, capsys, way):
    config, output = tmp_path / "config.yaml", tmp_path / "out"
    config.write_text("examples_signature: true\n")
    source = str(cases["keras2_lstm_hard_sigmoid"].source)
    asked = {"option": ["--examples-signature"], "config": ["--config", str(config)]}[way]
    assert main(["convert", source, str(output), *asked]) == 0
    assert json.loads((output / "conversion.json").read_text())["examples_signature"] is True
    capsys.readouterr()
    assert main(["verify", source, str(output), "--json"]) in (0, 1)
    assert "examples/dense_1" in _json(capsys)["outputs"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("targt: cpu", "targt"), ("target: tpu", "target"), ("[", "YAML"), ("set: 3", "set")],
)
def test_wrong_config_is_refused(cases, tmp_path, capsys, text, expected):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    source = str(cases["tf1_stacked_lstm_csv"].source)
    assert main(["convert", source, str(tmp_path / "out"), "--config", str(config)]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--set", "forgetbias=1"], 2),
        (["--set", "layer[7].forget_bias=1"], 2),
        (["--set", "forget_bias=one"], 2),
        (["--input", "x=y:0"], 2),
        (["--set", "input_size=5"], 3),
    ],
)
def test_wrong_arguments(cases, tmp_path, capsys, arguments, status):
    source = str(cases["tf1_stacked_lstm_csv"].source)
    assert main(["convert", source, str(tmp_path / "out"), *arguments]) == status
    printed = capsys.readouterr().err
    assert "expected:" in printed
    assert "remedy:" in printed
    assert not list(tmp_path.iterdir())


def test_argparse_errors_are_usage(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["convert"])
    assert exit_info.value.code == 2


def test_golden_of_other_names_is_refused(converted, tmp_path, capsys):
    case, output = converted
    golden = tmp_path / "golden.npz"
    np.savez(golden, **{"in:x": np.zeros((1, 2, 4), np.float32), "out:outputs": np.zeros(1)})
    assert main(["verify", str(case.source), str(output), "--golden", str(golden)]) == 2
    assert "in:NAME" in capsys.readouterr().err


def test_verify_wants_an_output_of_convert(cases, tmp_path):
    assert main(["verify", str(cases["tf1_stacked_lstm"].source), str(tmp_path)]) == 2


def test_help_and_keras_inspection_do_without_tensorflow(cases):
    program = """
import sys
from rnn_migrator.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
main(["inspect", sys.argv[1]])
heavy = {"tensorflow", "keras", "tfx", "apache_beam", "ml_metadata"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    source = str(cases["keras2_cudnn_lstm"].source)
    done = subprocess.run(
        [sys.executable, "-c", program, source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "keras_cudnn_lstm" in done.stdout
