"""What the fused LSTM layouts of TensorFlow 1 share: one kernel, peepholes and a projection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rnn_migrator.canonical import Array, Cell
from rnn_migrator.layouts.base import Facts, Layout, Tensors
from rnn_migrator.layouts.gates import fused_gates, fused_kernel, joined
from rnn_migrator.layouts.lstm_math import facts_of


class Tf1FusedLstm(Layout):
    """One kernel for input and state, and what not every such cell has.

    Attributes:
      order: First letters of the gates, in the order of the columns.
      peephole_roles: Role of the peephole of each gate that may have one; all or none have.
    """

    order: ClassVar[str]
    peephole_roles: ClassVar[Mapping[str, str]]
    adds_forget_bias = True

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        bias, projection = tensors["bias"], tensors.get("projection")
        width = len(bias) // len(self.order) if projection is None else int(projection.shape[1])
        return Cell(
            self.kind,
            fused_gates(tensors["kernel"], bias, self.order, width),
            **facts_of(facts),
            peepholes={
                g: tensors[r].copy() for g, r in self.peephole_roles.items() if r in tensors
            },
            projection=None if projection is None else projection.copy(),
        )

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        bias = joined(cell.gates, "bias", self.order)
        tensors = {"kernel": fused_kernel(cell.gates, self.order), "bias": bias}
        tensors |= {self.peephole_roles[gate]: array for gate, array in cell.peepholes.items()}
        return tensors if cell.projection is None else {**tensors, "projection": cell.projection}


def symbols_of(width: str, peephole_roles: Mapping[str, str]) -> dict[str, str]:
    """Shapes by role of such a layout, with the width of all gates together, such as "4U"."""
    return {
        "kernel": f"[I+H, {width}]",
        "bias": f"[{width}]",
        **dict.fromkeys(peephole_roles.values(), "[U]"),
        "projection": "[U, P]",
    }
