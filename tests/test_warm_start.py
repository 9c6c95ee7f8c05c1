"""Legacy weights in layers of the user's own model, against outputs of the original framework."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

import rnn_migrator
from rnn_migrator.errors import NotEquivalentError, UnsupportedError, UsageError

FORGET = ["forget_bias=1.0", "activation=tanh", "cell_clip=none"]


def _run(model, inputs, lengths=None):
    mask = None if lengths is None else np.arange(inputs.shape[1]) < lengths[:, None]
    return np.asarray(model(inputs, mask=mask) if mask is not None else model(inputs))


def _error(model, golden):
    lengths = golden["inputs"].get("sequence_length")
    given = _run(model, golden["inputs"]["inputs"], lengths)
    return np.abs(given - golden["outputs"]["outputs"]).max()


def test_stacked_cells_from_csv(cases):
    case = cases["tf1_stacked_lstm_csv"]
    golden = case.golden("serving_default")
    x = keras.Input((None, 4))
    stack = keras.layers.StackedRNNCells([keras.layers.LSTMCell(n) for n in (7, 5, 6)])
    y = keras.layers.RNN(stack, return_sequences=True, name="mine")(x)
    model = keras.Model(x, y)
    facts = rnn_migrator.warm_start(model, case.source, {"mine": "rnn"}, settings=FORGET)
    assert _error(model, golden) < 1e-6
    assert facts["mine, cell 2"]["forget_bias"].value == 1.0


def test_single_cells_of_a_stack_from_a_checkpoint(cases):
    case = cases["tf1_stacked_lstm"]
    golden = case.golden("serving_default")
    names = [f"rnn/multi_rnn_cell/cell_{i}/lstm_cell" for i in range(3)]
    x = keras.Input((None, 4))
    y = x
    for i, units in enumerate((7, 5, 6)):
        y = keras.layers.LSTM(units, return_sequences=True, name=f"layer_{i}")(y)
    model = keras.Model(x, y)
    mapping = {f"layer_{i}": name for i, name in enumerate(names)}
    rnn_migrator.warm_start(model, case.source, mapping, settings=FORGET)
    assert _error(model, golden) < 1e-6


def test_bidirectional_gru(cases):
    case = cases["tf1_bidirectional_gru"]
    golden = case.golden("with_lengths")
    x = keras.Input((None, 4))
    gru = keras.layers.GRU(5, return_sequences=True, reset_after=False)
    y = keras.layers.Bidirectional(gru, name="both")(x)
    model = keras.Model(x, y)
    rnn_migrator.warm_start(
        model, case.source, {"both": "bidirectional_rnn"}, settings=["activation=tanh"]
    )
    assert _error(model, golden) < 1e-6


def test_hand_written_cell(cases):
    case = cases["tf1_handwritten_lstm"]
    golden = case.golden("serving_default")
    units = golden["outputs"]["h_0"].shape[1]
    x = keras.Input((None, golden["inputs"]["inputs"].shape[2]))
    model = keras.Model(x, keras.layers.LSTM(units, return_sequences=True, name="new")(x))
    settings = [*FORGET, "forget_bias=0", "recurrent_activation=sigmoid"]
    rnn_migrator.warm_start(model, case.source, {"new": "LSTMcell"}, settings=settings)
    assert _error(model, golden) < 1e-6


def test_keras_weights_fill_a_layer(cases):
    case = cases["keras2_cudnn_lstm_weights"]
    kernel, recurrent, bias = rnn_migrator.keras_weights(case.source, "cu_dnnlstm_1")
    assert (kernel.shape, recurrent.shape, bias.shape) == ((5, 28), (7, 28), (28,))
    layer = keras.layers.LSTM(7)
    layer.build((None, None, 5))
    layer.set_weights([kernel, recurrent, bias])


def test_legacy_hard_sigmoid_is_asked_for(cases):
    case = cases["keras2_lstm_hard_sigmoid"]
    x = keras.Input((None, 6))

    def model(activation):
        lstm = keras.layers.LSTM(5, recurrent_activation=activation, name="mine")
        return keras.Model(x, lstm(x))

    rnn_migrator.warm_start(
        model(rnn_migrator.legacy_hard_sigmoid), case.source, {"mine": "lstm_1"}
    )
    # The same name in Keras 3 is another function: weights alone do not make the layer equal.
    for wrong in ("hard_sigmoid", "sigmoid"):
        with pytest.raises(NotEquivalentError, match="legacy_hard_sigmoid"):
            rnn_migrator.warm_start(model(wrong), case.source, {"mine": "lstm_1"})


def test_a_refusal_leaves_every_layer_as_it_was(cases):
    case = cases["keras2_lstm_hard_sigmoid"]
    x = keras.Input((None, 6))
    good = keras.layers.LSTM(
        5,
        recurrent_activation=rnn_migrator.legacy_hard_sigmoid,
        return_sequences=True,
        name="good",
    )
    bad = keras.layers.LSTM(8, recurrent_activation="sigmoid", name="bad")
    model = keras.Model(x, bad(good(x)))
    before = [w.copy() for w in model.get_weights()]
    with pytest.raises(NotEquivalentError, match="bad"):
        rnn_migrator.warm_start(model, case.source, {"good": "lstm_1", "bad": "lstm_2"})
    assert all(map(np.array_equal, before, model.get_weights()))


def test_assumptions_are_never_quiet(cases):
    case = cases["tf1_stacked_lstm_no_meta"]
    with pytest.warns(rnn_migrator.AssumptionWarning, match=r"forget_bias=1\.0"):
        rnn_migrator.keras_weights(case.source)
    x = keras.Input((None, 4))
    model = keras.Model(x, keras.layers.LSTM(7, name="mine")(x))
    scope = {"mine": "rnn/multi_rnn_cell/cell_0/lstm_cell"}
    with pytest.raises(UnsupportedError, match="forget_bias"):
        rnn_migrator.warm_start(model, case.source, scope, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rnn_migrator.warm_start(model, case.source, scope, settings=FORGET)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (keras.layers.LSTM(9, name="mine"), "units"),
        (keras.layers.LSTM(7, use_bias=False, name="mine"), "with bias"),
        (keras.layers.GRU(7, name="mine"), "GRUCell"),
        (keras.layers.Bidirectional(keras.layers.LSTM(7), name="mine"), "Bidirectional"),
        (keras.layers.Dense(7, name="mine"), "Dense"),
    ],
)
def test_layers_that_do_not_fit_are_refused(cases, layer, expected):
    x = keras.Input((None, 4))
    model = keras.Model(x, layer(x))
    with pytest.raises(UnsupportedError, match=expected):
        rnn_migrator.warm_start(
            model,
            cases["tf1_stacked_lstm"].source,
            {"mine": "rnn/multi_rnn_cell/cell_0/lstm_cell"},
            settings=FORGET,
        )


def test_unknown_names_are_listed(cases):
    x = keras.Input((None, 4))
    model = keras.Model(x, keras.layers.LSTM(7, name="mine")(x))
    source = cases["tf1_two_scopes"].source
    with pytest.raises(UsageError, match="encoder/rnn"):
        rnn_migrator.warm_start(model, source, {"mine": "nowhere"}, settings=FORGET)
    with pytest.raises(UsageError, match="mine"):
        rnn_migrator.warm_start(model, source, {"yours": "encoder/rnn"}, settings=FORGET)
    with pytest.raises(UsageError, match="decoder/rnn"):
        rnn_migrator.keras_weights(source)
