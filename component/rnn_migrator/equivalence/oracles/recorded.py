"""Outputs that the original framework recorded (`--golden`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.inputs.case import Case, Material
from rnn_migrator.equivalence.oracles.base import Oracle, register
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.recognition.recognise import Recognition


@register
class Recorded(Oracle):
    """The strongest oracle: what the model gave where it was trained."""

    name = "recorded outputs"
    rank = 0
    covers = "what the original framework gave for the inputs that were recorded with it"

    @classmethod
    def open(cls, recognition: Recognition, materials: Sequence[Material]) -> Recorded:
        """See `Oracle.open`."""
        if any(isinstance(one, Case) and one.expected is not None for one in materials):
            return cls()
        raise UnsupportedError(
            Problem(
                where="--golden",
                expected="an NPZ file of recorded inputs and outputs",
                received="none given",
                remedy="record some in the original framework: --golden FILE.npz",
            )
        )

    def run(self, case: Case) -> Mapping[str, Array] | None:
        """See `Oracle.run`."""
        return case.expected
