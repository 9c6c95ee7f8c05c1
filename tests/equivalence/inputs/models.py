"""Small models for what is fed to them."""

from __future__ import annotations

from typing import Any

from rnn_migrator.canonical import CanonicalModel
from tests.recognition.artifacts import (
    Config,
    artifact,
    keras_artifact,
    layer,
    lstm,
    model_of,
    recurrent_config,
    sequential,
    weight_shapes,
    with_input,
)

BOTH = {
    n: s
    for way in ("fw", "bw")
    for n, s in lstm(f"bidirectional_rnn/{way}/lstm_cell", 3, 5).items()
}
STACK = lstm("rnn/lstm_cell", 3, 5)


def stack(shapes: Any = STACK) -> CanonicalModel:
    return model_of(artifact(shapes))


def behind(first: Config, inputs: int, **weights: Any) -> CanonicalModel:
    parts = sequential(first, recurrent_config("LSTM", "lstm_1", 5))
    return model_of(keras_artifact(parts, {"lstm_1": weight_shapes("LSTM", inputs, 5), **weights}))


def embedded(shape: list[int | None], **config: Any) -> CanonicalModel:
    first = layer("Embedding", "emb_1", input_dim=11, output_dim=4, **config)
    return behind(with_input(first, *shape), 4, emb_1={"embeddings:0": (11, 4)})
