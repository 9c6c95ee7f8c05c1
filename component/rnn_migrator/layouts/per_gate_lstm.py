"""A hand-written LSTM that keeps three variables a gate, each in a scope of its own.

    gate = s(x @ kernel + h @ recurrent + bias)      kernel (I, U)  recurrent (U, U)  bias (U,)
    c = forget * c + input * act(x @ kernel + h @ recurrent + bias of the candidate)
    h = output * act(c)

Source: the cell that circulates in TensorFlow 1 tutorials and questions, with scopes such as
`LSTMcell/{input_gate,forget_gate,memory_cell,output_gate}/{wx,wt,bi}`. What its author may have
added at run time (a forget bias, say) stands in no variable, so it is a fact like any other.
"""

from __future__ import annotations

from rnn_migrator.canonical import LSTM_GATES, Array, Cell, CellKind, Gate
from rnn_migrator.layouts.base import Facts, Layout, Shape, States, Tensors, register
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update

PARTS = ("kernel", "recurrent", "bias")


@register
class PerGateLstm(Layout):
    """One input matrix, one recurrent matrix and one bias a gate."""

    name = "per_gate_lstm"
    kind = CellKind.LSTM
    roles = tuple(f"{gate}/{part}" for gate in LSTM_GATES for part in PARTS)
    sizing_role = "candidate/kernel"

    def symbols(self) -> dict[str, str]:
        """See `Layout.symbols`."""
        shapes = ("[I, U]", "[U, U]", "[U]")
        return {f"gate/{part}": shape for part, shape in zip(PARTS, shapes, strict=True)}

    def sizes(self, shape: Shape) -> tuple[int, int] | None:
        """See `Layout.sizes`."""
        return (shape[0], shape[1]) if len(shape) == 2 and min(shape) > 0 else None

    def shapes(self, input_size: int, units: int) -> dict[str, Shape]:
        """See `Layout.shapes`."""
        shapes = {"kernel": (input_size, units), "recurrent": (units, units), "bias": (units,)}
        return {f"{gate}/{part}": shapes[part] for gate in LSTM_GATES for part in PARTS}

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        gates = {
            gate: Gate(**{part: tensors[f"{gate}/{part}"].copy() for part in PARTS})
            for gate in LSTM_GATES
        }
        return Cell(self.kind, gates, **facts_of(facts))

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        return {
            f"{name}/{part}": getattr(gate, part)
            for name, gate in cell.gates.items()
            for part in PARTS
        }

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""

        def pre_activation(gate: str) -> Array:
            product = x @ tensors[f"{gate}/kernel"] + states["h"] @ tensors[f"{gate}/recurrent"]
            return product + tensors[f"{gate}/bias"]

        return lstm_update(
            i=pre_activation("input"),
            f=pre_activation("forget") + facts["forget_bias"].value,
            g=pre_activation("candidate"),
            o=pre_activation("output"),
            c_prev=states["c"],
            facts=facts,
        )
