"""Which operand of a step is its input, and which the state that comes back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rnn_migrator.errors import Problem
from rnn_migrator.readers.metagraph import Graph, Tensor
from rnn_migrator.recognition.graph.algebra import Clip, Names, behind, clip
from rnn_migrator.recognition.graph.gates import read_product
from rnn_migrator.recognition.graph.step import KEEP, Finding, Step, clip_problems
from rnn_migrator.recognition.graph.wiring import carriers, following


class _Return(NamedTuple):
    """The output of a step, as it comes back as a state: `result`, projected or not."""

    output: Tensor
    result: Tensor
    projection: Names = ()
    clipped: Clip | None = None


def tell_states(graph: Graph, steps: Sequence[Step]) -> list[Problem]:
    """Fills in `x`, the state "h" and any projection of steps that are copies of one cell.

    The first step of an unrolled graph begins with a state from elsewhere, so what the other
    steps say about the operands counts for it too. A copy may choose among its states before they
    come back, as a beam search does, if another one does not.
    """
    returns = _returns(graph, steps)
    keys = {key for step in steps for key in _returning(step, returns)}
    projected = {found.output: found for found in returns.values() if found.projection}
    problems = []
    for step in steps:
        problems += _name_operands(graph, step, keys)
        _add_projection(graph, step, projected)
    changes = [_changes(graph, step) for step in steps]
    return problems + (changes[0] if all(changes) else [])


def recurs(graph: Graph, steps: Sequence[Step]) -> bool:
    """Whether the output of steps that are copies of one comes back, as it is, as their operand."""
    return any(not found.projection for found in _returns(graph, steps).values())


def _returns(graph: Graph, steps: Sequence[Step]) -> dict[Tensor, _Return]:
    """The operands of steps that are copies of one cell which come back."""
    outputs = {step.output for step in steps}
    return {
        operand: found
        for step in steps
        for operand in step.operands.values()
        if (found := _comes_back(graph, operand, outputs))
    }


def _comes_back(graph: Graph, operand: Tensor, outputs: Iterable[Tensor]) -> _Return | None:
    for result in carriers(graph, following(graph, operand) or operand):
        if result in outputs:
            return _Return(result, result)
        clipped = clip(graph, result)
        product = read_product(graph, clipped.tensor if clipped else result)
        for output in carriers(graph, product.left) if product else ():
            if product and output in outputs:
                return _Return(output, result, product.matrix, clipped)
    return None


def _returning(step: Step, returns: Mapping[Tensor, _Return]) -> list[str]:
    """The operand that comes back, if only one of them does."""
    if "h" in step.states:
        return [key for key, operand in step.operands.items() if operand == step.states["h"]]
    keys = [key for key, operand in step.operands.items() if operand in returns]
    return keys if len(keys) == 1 else []


def _name_operands(graph: Graph, step: Step, returning: Iterable[str]) -> list[Problem]:
    """Names one operand h, and the other one x."""
    keys = [key for key in step.operands if key in returning]
    if not keys and step.fused and not step.is_by_hand:
        keys = list(step.operands)[-1:]
    if len(keys) != 1 or len(step.operands) < 2:
        return [_untold(graph, step)]
    [key] = keys
    step.states["h"] = step.operands[key]
    others = [operand for name, operand in step.operands.items() if name != key]
    step.x = others[0] if len(others) == 1 else None
    first, *_, last = step.operands
    if step.fused and key not in ((first, last) if step.is_by_hand else (last,)):
        return [_wrong_rows(graph, step)]
    return []


def _add_projection(graph: Graph, step: Step, projected: Mapping[Tensor, _Return]) -> None:
    if "c" not in step.kind.states:
        return
    found = projected.get(step.output, next(iter(projected.values()), None))
    node = behind(graph, found.result) if found else step.node
    step.findings["projection"] = Finding(found is not None, node)
    if found:
        step.projection = found.projection
        bound = found.clipped.high if found.clipped else None
        step.findings["proj_clip"] = Finding(bound, node)
        step.problems += clip_problems(graph, "the projected output", found.clipped)
    if step.output in projected:
        step.new_states["h"] = projected[step.output].result


def _changes(graph: Graph, step: Step) -> list[Problem]:
    """States that do not come back round a loop as the step computes them."""
    backs = {name: following(graph, state) for name, state in step.states.items()}
    return [
        Problem(
            where=graph.describe(step.node),
            expected=f"the new state {name} to come back as it is",
            received=f"{back}, which is computed from it or from something else",
            remedy=KEEP,
        )
        for name, back in backs.items()
        if back is not None and step.new_states[name] not in set(carriers(graph, back))
    ]


def _untold(graph: Graph, step: Step) -> Problem:
    return Problem(
        where=graph.describe(step.node),
        expected="an input and a state that comes back from the step before",
        received="operands " + ", ".join(str(operand) for operand in step.operands.values()),
        remedy="move the .meta away, and say with --set which matrix is which",
    )


def _wrong_rows(graph: Graph, step: Step) -> Problem:
    return Problem(
        where=graph.describe(step.node),
        expected="rows of the kernel in the order [input; state]",
        received="[state; input]",
        remedy="put the rows of the kernel into the expected order, and convert a dump of that",
    )
