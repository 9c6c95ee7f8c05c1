"""Real public models as people left them; skipped where the folder is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rnn_migrator
from rnn_migrator.equivalence.inputs.plan import Inputs
from rnn_migrator.errors import UnsupportedError
from rnn_migrator.migration import Request, convert, verify

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["arima_lstm", "charrnn_sp", "wind_gru", "yuesheng_lstm"])
def test_checkpoints_agree_with_their_own_graph(zoo: Path, tmp_path: Path, name: str) -> None:
    document = convert(Request(zoo / name), tmp_path / "out")
    assert {fact["origin"] for fact in document["facts"]} <= {"graph", "class"}
    evaluation = verify(zoo / name, tmp_path / "out")
    assert "legacy graph" in evaluation.oracles
    assert evaluation.blessed, evaluation.reason


def test_a_keras_file_agrees_with_its_recording(zoo: Path, tmp_path: Path) -> None:
    source = zoo / "turbofan" / "lstm.h5"
    recorded = np.load(zoo / "turbofan" / "golden.npz")
    golden = tmp_path / "golden.npz"
    names = {"in:components": recorded["in:x"], "out:rul_prediction": recorded["out:out"]}
    np.savez(golden, **names)
    convert(Request(source), tmp_path / "out")
    evaluation = verify(source, tmp_path / "out", Inputs((str(golden),)))
    assert evaluation.oracles[0] == "recorded outputs"
    assert evaluation.blessed, evaluation.reason
    np.savez(golden, **{**names, "out:rul_prediction": recorded["out:out"] + 1.0})
    assert not verify(source, tmp_path / "out", Inputs((str(golden),))).equivalent


def test_cudnn_weights_without_an_architecture_fill_layers(zoo: Path, tmp_path: Path) -> None:
    import h5py
    import keras

    source = zoo / "textgenrnn" / "textgenrnn_weights.hdf5"
    with pytest.raises(UnsupportedError, match="--architecture"):
        convert(Request(source), tmp_path / "out")
    with h5py.File(source) as file:
        table = file["embedding/embedding/embeddings:0"][()]
    recorded = np.load(zoo / "textgenrnn" / "golden.npz")
    x = keras.Input((None, table.shape[1]))
    first = keras.layers.LSTM(128, return_sequences=True, name="first")(x)
    second = keras.layers.LSTM(128, return_sequences=True, name="second")(first)
    model = keras.Model(x, [first, second])
    rnn_migrator.warm_start(model, source, {"first": "rnn_1", "second": "rnn_2"}, strict=True)
    outputs = model(table[recorded["in:x"].astype(int)])
    for name, output in zip(("rnn_1", "rnn_2"), outputs, strict=True):
        # The recorded run is itself up to 4.6e-4 from float64: a trained model amplifies noise.
        error = np.abs(np.asarray(output) - recorded[f"out:textgenrnn_weights/{name}"]).max()
        assert error < 1e-3
