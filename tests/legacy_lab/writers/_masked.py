"""One small model that tells what a release of Keras 2 answers at masked steps."""

from _keras import Keras, Subject, pad, sequences

# All there, padded right, padded left, with a hole, and nothing at all.
PADDING = [[1] * 6, [1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 0, 1, 1, 0], [0] * 6]


def masked_directions(keras: Keras) -> Subject:
    """Returns layers of one direction and of both on the same masked inputs."""
    layers = keras.layers
    gates = {"recurrent_activation": "sigmoid"}
    inputs = layers.Input((6, 3), name="inputs")
    masked = layers.Masking(0.0, name="masking")(inputs)
    both = layers.Bidirectional(layers.LSTM(4, return_sequences=True, **gates), name="both")
    steps = both(masked)
    outputs = [
        steps,
        layers.LSTM(5, return_sequences=True, name="on", **gates)(steps),
        layers.Bidirectional(layers.LSTM(5, **gates), name="last")(masked),
        layers.LSTM(3, return_sequences=True, name="lstm", **gates)(masked),
        layers.GRU(4, return_sequences=True, name="gru", **gates)(masked),
        layers.SimpleRNN(3, return_sequences=True, name="simple")(masked),
    ]
    values = pad(sequences("inputs", (5, 6, 3), 90), PADDING)
    return Subject(keras.models.Model(inputs, outputs), values, seed=90)
