"""The cell classes of TensorFlow 0.12 to 1.15, as their variables are named.

Names tell the class, and in part the release: `Matrix` and `W_0` are 0.12, `weights` 1.0 and 1.1,
`kernel` 1.2 and later. What a class does besides its weights stands in its `defaults`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from rnn_migrator.canonical import Fact, Origin
from rnn_migrator.layouts import get_layout
from rnn_migrator.recognition.releases import Default, Release, Version, always


def fixed(value: Any, why: str) -> Fact[Any]:
    """What a class leaves no choice about."""
    return Fact(value, Origin.CLASS, why)


def assumed(value: Any, why: str) -> Fact[Any]:
    """What no release decides, and everybody does."""
    return Fact(value, Origin.ASSUMED, why)


@dataclasses.dataclass(frozen=True)
class NamedCell:
    """A cell class, as its variables are named.

    Attributes:
      cell_class: Name of the class.
      scope: Pattern of the last part of its scope.
      layout: Layout of its tensors.
      parts: Pattern of the rest of a variable's name, by role of the layout.
      defaults: What the class does besides its weights.
      optional: Roles that not every such cell has.
      needed: Roles of which one at least must be there for the names to mean this class.
      releases: First and last version that names its scope like this.
      ignored: Pattern of variables that repeat what others say.
    """

    cell_class: str
    scope: str
    layout: str
    parts: Mapping[str, str]
    defaults: Mapping[str, Fact[Any] | Default]
    optional: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    releases: tuple[Version, Version] = ((0, 0), (1, 15))
    ignored: str = r"(?!)"

    def facts(self, names: Mapping[str, str], stated: Fact[Release] | None) -> dict[str, Fact[Any]]:
        """The defaults as facts.

        Args:
          names: The cell's variables by role; they tell releases apart.
          stated: The release that the user says wrote them.
        """
        first, last = self.span(names)
        return {
            key: default.fact(stated, first, last) if isinstance(default, Default) else default
            for key, default in self.defaults.items()
            if key != "proj_clip" or "projection" in names
        }

    def span(self, names: Mapping[str, str]) -> tuple[Version, Version]:
        """The releases that give such names."""
        first, last = self.releases
        ends = {name.rsplit("/", 1)[-1] for name in names.values()}
        if any(re.search(r"(^|/)[A-Z]\w+Cell/", name) for name in names.values()):
            return first, (0, 12)
        if ends & {"weights", "biases"}:
            return max(first, (1, 0)), min(last, (1, 1))
        if ends & {"kernel", "bias"}:
            return max(first, (1, 2)), last
        return first, last


@dataclasses.dataclass(frozen=True)
class FoundCell:
    """A cell that the names, or the graph, speak of.

    Attributes:
      named: Its class.
      scope: Its scope, the common part of its variables' names.
      names: Variable by role of the layout.
      stack: Scope of the recurrent stack it belongs to.
      index: Layer in the stack.
      direction: "" for an only direction, else "fw" or "bw".
      position: Place among the cells that run together in one direction, from the bottom.
    """

    named: NamedCell
    scope: str
    names: Mapping[str, str]
    stack: str
    index: int = 0
    direction: str = ""
    position: int = 0

    @property
    def main_kernel(self) -> str:
        """A matrix by which the cell can be found in a graph."""
        return next(name for role, name in self.names.items() if role.endswith("kernel"))


_KERNEL, _BIAS = r"(?:kernel|weights)", r"(?:bias|biases)"
_LINEAR = {"kernel": r"(?:Linear/Matrix|kernel|weights)", "bias": r"(?:Linear/Bias|bias|biases)"}
_PEEPHOLES = {f"w_{gate}_diag": rf"(?:w_{gate}_diag|W_{gate.upper()}_diag)" for gate in "ifo"}
_LSTM = {
    "kernel": r"(?:kernel|weights|W(?:_0)?)",
    "bias": r"(?:bias|biases|B)",
    **_PEEPHOLES,
    "projection": r"(?:projection/(?:kernel|weights)|W_P(?:_0)?)",
}
_LSTM_OPTIONAL = frozenset({*_PEEPHOLES, "projection"})
_BLOCK = {
    "kernel": r"(?:kernel|weights|W(?:_0)?)",
    "bias": r"(?:bias|biases|B|b)",
    **{f"w_{gate}_diag": rf"(?:w_{gate}_diag|W_{gate.upper()}_diag|wc{gate})" for gate in "ifo"},
}

_SIGMOID = fixed("sigmoid", "TensorFlow 1 cells take no other")
_TANH = fixed("tanh", "the kernel computes no other")
_ANY_ACTIVATION = always("tanh", "default of the class")
_FORGET_BIAS = always(1.0, "default of the class in TensorFlow 0.12 to 1.15")
_NO_CLIP = fixed(None, "the class has none")
_BLOCK_CLIP = Default(
    {(0, 0): 3.0, (1, 4): None},
    "block cells clip at 3.0 by default up to TensorFlow 1.3, and not at all from 1.4",
)

_LSTM_DEFAULTS: Mapping[str, Fact[Any] | Default] = {
    "forget_bias": _FORGET_BIAS,
    "activation": _ANY_ACTIVATION,
    "recurrent_activation": _SIGMOID,
    "cell_clip": always(
        None, "default of LSTMCell; an LSTMBlockCell of TensorFlow <= 1.3 clips at 3.0"
    ),
    "proj_clip": always(None, "default of LSTMCell"),
}
_BLOCK_DEFAULTS: Mapping[str, Fact[Any] | Default] = {
    "forget_bias": _FORGET_BIAS,
    "activation": _TANH,
    "recurrent_activation": _SIGMOID,
    "cell_clip": _BLOCK_CLIP,
}
_GRU_DEFAULTS: Mapping[str, Fact[Any] | Default] = {
    "activation": _ANY_ACTIVATION,
    "recurrent_activation": _SIGMOID,
}
_CUDNN_DEFAULTS: Mapping[str, Fact[Any] | Default] = {
    "forget_bias": fixed(0.0, "cuDNN adds none"),
    "activation": _TANH,
    "recurrent_activation": _SIGMOID,
    "cell_clip": fixed(None, "cuDNN does not clip"),
}


def _pieces(layout: str) -> dict[str, str]:
    """Variables that are called as the layout calls them."""
    return {role: re.escape(role) for role in get_layout(layout).roles}


def unnamed_cell(cell_class: str, layout_name: str, why: str) -> NamedCell:
    """A cell whose layout is known and whose class is not: every fact has to be stated.

    Args:
      cell_class: What to call it.
      layout_name: Its layout.
      why: Why nothing is known of it by default.
    """
    layout = get_layout(layout_name)
    names = ["activation", "recurrent_activation"]
    names += ["forget_bias"] if layout.adds_forget_bias else []
    names += [name for name in ("cell_clip", "proj_clip") if name in layout.clips]
    names += sorted(layout.leaves_open)
    unknown: Fact[Any] = Fact(None, Origin.UNDECIDED, why)
    return NamedCell(cell_class, r"[^/]+", layout_name, {}, dict.fromkeys(names, unknown))


LSTM_CELL = NamedCell(
    "LSTMCell",
    r"(?:lstm_cell(?:_\d+)?|LSTMCell)",
    "tf1_lstm",
    _LSTM,
    _LSTM_DEFAULTS,
    _LSTM_OPTIONAL,
)

NAMED_CELLS = (
    NamedCell(
        "BasicLSTMCell",
        r"(?:basic_lstm_cell(?:_\d+)?|BasicLSTMCell)",
        "tf1_lstm",
        _LINEAR,
        {
            "forget_bias": _FORGET_BIAS,
            "activation": _ANY_ACTIVATION,
            "recurrent_activation": _SIGMOID,
            "cell_clip": _NO_CLIP,
        },
    ),
    LSTM_CELL,
    NamedCell(
        "LSTMBlockCell",
        r"(?:lstm_block_cell(?:_\d+)?|LSTMBlockCell)",
        "tf1_lstm",
        _BLOCK,
        _BLOCK_DEFAULTS,
        frozenset(_PEEPHOLES),
    ),
    NamedCell(
        "LSTMBlockFusedCell",
        r"lstm_block_wrapper(?:_\d+)?",
        "tf1_lstm",
        _BLOCK,
        _BLOCK_DEFAULTS,
        frozenset(_PEEPHOLES),
        releases=((1, 0), (1, 4)),
    ),
    NamedCell(
        "LSTMBlockFusedCell",
        r"(?:lstm_fused_cell|lstm_block_fused_cell)(?:_\d+)?",
        "tf1_lstm",
        _BLOCK,
        _BLOCK_DEFAULTS,
        frozenset(_PEEPHOLES),
        releases=((1, 5), (1, 15)),
    ),
    NamedCell(
        "CudnnCompatibleLSTMCell",
        r"cudnn_compatible_lstm_cell(?:_\d+)?",
        "tf1_lstm",
        {"kernel": "kernel", "bias": "bias"},
        _CUDNN_DEFAULTS,
        ignored=r"bias_cudnn[ _]\d",
    ),
    NamedCell(
        "LayerNormBasicLSTMCell",
        r"(?:layer_norm_basic_lstm_cell(?:_\d+)?|LayerNormBasicLSTMCell)",
        "tf1_layer_norm_lstm",
        {
            "kernel": r"(?:kernel|weights|linear/weights)",
            "bias": r"(?:bias|biases|linear/biases)",
            **{
                f"{norm}/{part}": f"{norm}/{part}"
                for norm in ("input", "transform", "forget", "output", "state")
                for part in ("gamma", "beta")
            },
        },
        {
            "forget_bias": _FORGET_BIAS,
            "activation": _ANY_ACTIVATION,
            "recurrent_activation": _SIGMOID,
            "cell_clip": _NO_CLIP,
        },
        frozenset(
            {
                "bias",
                *(
                    f"{norm}/{part}"
                    for norm in ("input", "transform", "forget", "output", "state")
                    for part in ("gamma", "beta")
                ),
            }
        ),
    ),
    NamedCell(
        "CoupledInputForgetGateLSTMCell",
        r"(?:coupled_input_forget_gate_lstm_cell(?:_\d+)?|CoupledInputForgetGateLSTMCell)",
        "tf1_coupled_lstm",
        {
            "kernel": r"W(?:_0)?",
            "bias": "B",
            "w_f_diag": "W_F_diag",
            "w_o_diag": "W_O_diag",
            "projection": r"W_P(?:_0)?",
        },
        {
            "forget_bias": _FORGET_BIAS,
            "activation": _ANY_ACTIVATION,
            "recurrent_activation": _SIGMOID,
            "cell_clip": _NO_CLIP,
            "proj_clip": always(None, "default of the class"),
        },
        frozenset({"w_f_diag", "w_o_diag", "projection"}),
    ),
    NamedCell(
        "GRUCell",
        r"(?:gru_cell(?:_\d+)?|GRUCell)",
        "tf1_gru",
        {
            "gates_kernel": rf"(?:gates/{_KERNEL}|Gates/Linear/Matrix)",
            "gates_bias": rf"(?:gates/{_BIAS}|Gates/Linear/Bias)",
            "candidate_kernel": rf"(?:candidate/{_KERNEL}|Candidate/Linear/Matrix)",
            "candidate_bias": rf"(?:candidate/{_BIAS}|Candidate/Linear/Bias)",
        },
        _GRU_DEFAULTS,
    ),
    NamedCell(
        "GRUBlockCell",
        r"(?:gru_cell(?:_\d+)?|GRUBlockCell)",
        "tf1_gru",
        {
            "gates_kernel": "w_ru",
            "gates_bias": "b_ru",
            "candidate_kernel": "w_c",
            "candidate_bias": "b_c",
        },
        {"activation": _TANH, "recurrent_activation": _SIGMOID},
    ),
    NamedCell(
        "CudnnCompatibleGRUCell",
        r"cudnn_compatible_gru_cell(?:_\d+)?",
        "tf1_cudnn_gru",
        {
            "gates_kernel": "gates/kernel",
            "gates_bias": "gates/bias",
            "input_kernel": "candidate/input_projection/kernel",
            "input_bias": "candidate/input_projection/bias",
            "hidden_kernel": "candidate/hidden_projection/kernel",
            "hidden_bias": "candidate/hidden_projection/bias",
        },
        {"activation": _ANY_ACTIVATION, "recurrent_activation": _SIGMOID},
        ignored=r"(?:.*/)?bias_cudnn[ _]\d",
    ),
    NamedCell(
        "BasicRNNCell",
        r"(?:basic_rnn_cell(?:_\d+)?|BasicRNNCell)",
        "tf1_rnn",
        _LINEAR,
        {"activation": _ANY_ACTIVATION},
    ),
    NamedCell(
        "UGRNNCell",
        r"(?:ugrnn_cell(?:_\d+)?|UGRNNCell)",
        "tf1_ugrnn",
        {
            "kernel": r"(?:Linear/Matrix|kernel|weights)",
            "bias": r"(?:Linear/Bias|bias|biases)",
        },
        {
            "forget_bias": _FORGET_BIAS,
            "activation": _ANY_ACTIVATION,
            "recurrent_activation": _SIGMOID,
        },
    ),
    NamedCell(
        "CudnnLSTM",
        "cudnn_lstm_pieces",
        "cudnn_canonical_lstm",
        _pieces("cudnn_canonical_lstm"),
        _CUDNN_DEFAULTS,
    ),
    NamedCell(
        "CudnnGRU",
        "cudnn_gru_pieces",
        "cudnn_canonical_gru",
        _pieces("cudnn_canonical_gru"),
        {"activation": _TANH, "recurrent_activation": _SIGMOID},
    ),
    NamedCell(
        "LSTMCell of a custom scope",
        r"[^/]+",
        "tf1_lstm",
        _LSTM,
        _LSTM_DEFAULTS,
        _LSTM_OPTIONAL,
        needed=frozenset(_PEEPHOLES),
    ),
)
"""Known classes; of those whose names both fit, the first counts."""

REFUSED_CELLS = {
    r"(?:nas_cell|NASCell)": "NASCell",
    r"(?:sru_cell|SRUCell)": "SRUCell",
    r"(?:attention_cell_wrapper|AttentionCellWrapper)": "AttentionCellWrapper",
    r"attention(?:_wrapper)?": "an attention wrapper",
    r"(?:phased_lstm_cell)": "PhasedLSTMCell",
    r"(?:grid\d?\w*_cell|\w*grid_rnn\w*)": "a grid cell",
    r"(?:time_freq_lstm_cell|TimeFreqLSTMCell)": "TimeFreqLSTMCell",
    r"(?:intersection_rnn_cell|IntersectionRNNCell)": "IntersectionRNNCell",
    r"(?:glstm_cell|GLSTMCell)": "GLSTMCell",
    r"(?:layer_norm_lstm_cell)": "LayerNormLSTMCell",
    r"(?:conv_\w*lstm_cell|ConvLSTMCell)": "ConvLSTMCell",
    r"(?:indrnn_cell|indygru_cell|indylstm_cell)": "an IndRNN cell",
    r"(?:highway_wrapper)": "HighwayWrapper",
    r"(?:compiled_wrapper|CompiledWrapper)": "CompiledWrapper",
}
"""Classes that are known and not converted, by pattern of the last part of their scope."""
