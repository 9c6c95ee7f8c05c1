"""The layout of a cell that a graph computes, and which variables are its tensors.

A cell without a layout here, such as a projected LSTM with matrices of its own for each gate, can
be read off the graph, but not converted from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from rnn_migrator.canonical import CellKind
from rnn_migrator.recognition.graph.algebra import Names, whole_name
from rnn_migrator.recognition.graph.gates import Gate
from rnn_migrator.recognition.graph.norms import LayerNorm
from rnn_migrator.recognition.graph.step import Step

_FUSED = {
    CellKind.LSTM: "tf1_lstm",
    CellKind.COUPLED_LSTM: "tf1_coupled_lstm",
    CellKind.RNN: "tf1_rnn",
    CellKind.UGRNN: "tf1_ugrnn",
}
_PER_GATE = {CellKind.LSTM: "per_gate_lstm", CellKind.GRU: "per_gate_gru"}
_PER_GATE_FUSED = {CellKind.LSTM: "per_gate_fused_lstm", CellKind.GRU: "per_gate_fused_gru"}
_PEEPHOLES = {"input": "w_i_diag", "forget": "w_f_diag", "output": "w_o_diag"}
_NORMS = {"input": "input", "candidate": "transform", "forget": "forget", "output": "output"}

Roles = dict[str, Names]


def layout_of(step: Step) -> tuple[str, dict[str, str]]:
    """Name of the layout, and variable by role of it; nothing where no layout is like the cell.

    A variable in parts goes by the name of the whole.
    """
    layout, roles = _layout(step)
    if not roles or not all(roles.values()):
        return "", {}
    return layout, {role: whole_name(names) for role, names in roles.items()}


def _layout(step: Step) -> tuple[str, Roles]:
    if step.is_by_hand:
        return _per_gate(step)
    if step.kind is CellKind.GRU:
        return _gru(step.gates, step.findings["reset_after"].value)
    gates = list(step.gates.values())
    if any(len(gate.products) != 1 for gate in gates):
        return "", {}
    if len({(gate.matrices, tuple(gate.biases)) for gate in gates}) > 1:
        return "", {}
    kernel, peepholes = gates[0].matrices[0], _peepholes(step.gates)
    clipped = "cell_clip" in step.findings and step.findings["cell_clip"].value is not None
    if clipped and (step.norm or step.kind is CellKind.COUPLED_LSTM):
        return "", {}
    if step.norm:
        more = step.kind is not CellKind.LSTM or step.projection or gates[0].biases or peepholes
        return ("", {}) if more else ("tf1_layer_norm_lstm", {"kernel": kernel, **_norms(step)})
    roles = {"kernel": kernel, **_bias(gates[0]), **peepholes}
    if step.projection:
        roles["projection"] = step.projection
    return _FUSED[step.kind], roles


def _bias(gate: Gate, role: str = "bias") -> Roles:
    """The bias of a gate; no name where it has none, or several."""
    return {role: gate.biases[0] if len(gate.biases) == 1 else ()}


def _peepholes(gates: Mapping[str, Gate]) -> Roles:
    return {
        role: gates[name].peepholes[0].variable
        for name, role in _PEEPHOLES.items()
        if name in gates and gates[name].peepholes
    }


def _norms(step: Step) -> Roles:
    norms: dict[str, LayerNorm | None] = {
        **{scope: step.gates[name].norm for name, scope in _NORMS.items()},
        "state": step.norm,
    }
    return {
        f"{scope}/{part}": getattr(norm, part) if norm else ()
        for scope, norm in norms.items()
        for part in ("gamma", "beta")
    }


def _per_gate(step: Step) -> tuple[str, Roles]:
    """A cell with one matrix for each gate, or two, and biases or none."""
    gates = step.gates.items()
    counts = {len(gate.products) for _, gate in gates}
    plain = not (step.projection or step.norm or any(gate.peepholes for _, gate in gates))
    if step.kind not in _PER_GATE or not plain or counts not in ({1}, {2}):
        return "", {}
    biases = {role: names for name, gate in gates for role, names in _biases(name, gate).items()}
    if step.fused:
        state_first = next(iter(step.operands.values())) == step.states.get("h")
        kernels = {f"{name}/kernel": gate.matrices[0] for name, gate in gates}
        return _PER_GATE_FUSED[step.kind] + "_hx" * state_first, {**kernels, **biases}
    roles: Roles = {}
    for name, gate in gates:
        kernel, recurrent = sorted(gate.products, key=lambda product: product.left != step.x)
        roles |= {f"{name}/kernel": kernel.matrix, f"{name}/recurrent": recurrent.matrix}
    return _PER_GATE[step.kind], {**roles, **biases}


def _biases(name: str, gate: Gate) -> Roles:
    """The biases of a gate by role; no name where it has several of one role."""
    found = {"bias": gate.biases, "recurrent_bias": gate.recurrent_biases}
    return {
        f"{name}/{part}": names[0] if len(names) == 1 else ()
        for part, names in found.items()
        if names
    }


def _gru(gates: Mapping[str, Gate], reset_after: bool) -> tuple[str, Roles]:
    """Reset and update gate in one kernel; the candidate in one, or in one for each operand."""
    reset, candidate = gates["reset"], gates["candidate"]
    if not reset.block or len(reset.products) != 1:
        return "", {}
    roles = {"gates_kernel": reset.matrices[0], **_bias(reset, "gates_bias")}
    if len(candidate.products) == 1 and not reset_after:
        kernel = {"candidate_kernel": candidate.matrices[0]}
        return "tf1_gru", {**roles, **kernel, **_bias(candidate, "candidate_bias")}
    biases = _biases("candidate", candidate)
    if not reset_after or len(candidate.products) != 2 or len(biases) != 2:
        return "", {}
    input_kernel, hidden_kernel = candidate.matrices
    return "tf1_cudnn_gru", {
        **roles,
        "input_kernel": input_kernel,
        "input_bias": biases["candidate/bias"],
        "hidden_kernel": hidden_kernel,
        "hidden_bias": biases["candidate/recurrent_bias"],
    }
