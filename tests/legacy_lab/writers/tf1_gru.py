"""GRUCell in both directions."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from _common import Description, run_writer
from _tf1 import (
    Sizes,
    add_head,
    describe_checkpoint,
    fresh_session,
    pool,
    save_trained,
    tensor_names,
    unroll_both_ways,
    write_sequence_goldens,
)

GRUCell = tf.nn.rnn_cell.GRUCell

FACTS = {
    "layer[0].cell": "GRUCell",
    "layer[0].units": 5,
    "layer[0].activation": "tanh",
    "layer[0].recurrent_activation": "sigmoid",
    "bidirectional": True,
    "time_major": False,
}


def bidirectional_gru(folder: Path) -> Description:
    """One layer in both directions, equally wide, with different weights."""
    sizes, seed = Sizes(width=4, time=9, lengths=[9, 1, 0, 6, 9, 4]), 9
    with fresh_session() as session:
        recurrence = unroll_both_ways(GRUCell(5), GRUCell(5), sizes)
        logits = add_head(pool(recurrence))
        save_trained(session, folder, seed, trainer_meta=False)
        golden = write_sequence_goldens(session, folder, recurrence, sizes, seed)
        return describe_checkpoint(folder, FACTS, tensor_names(recurrence, logits), golden)


CASES = {"tf1_bidirectional_gru": bidirectional_gru}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
