"""The evaluator on the lab: right conversions and wrong ones, as a table for the docs.

python -m tests.verdicts             every model of the lab, right and wrong: docs/verdicts.md
python -m tests.verdicts PART...     models with PART in their name; prints only
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from rnn_migrator.equivalence.comparison import CONVERTED, Thresholds
from rnn_migrator.equivalence.evaluation import (
    Evaluation,
    evaluate,
    explain,
)
from rnn_migrator.equivalence.evaluator import Evaluator, Measurement
from rnn_migrator.equivalence.mistakes import EVERY
from tests.equivalence.lab import DISTINCT, LAB, LabModel, judge, materials
from tests.equivalence.mutations import Mutation, mutations

FILE = Path(__file__).resolve().parents[1] / "docs" / "verdicts.md"
RIGHT = "none: right conversions"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the evaluator said of one conversion.

    Attributes:
      kind: The sort of mistake in it.
      model: The lab's model, and the place of the mistake.
      as_it_should: Blessed if it is right, refused if it is wrong.
      named: Whether the diagnosis names the mistake.
      excess: How many times its bound the error is.
      told: What the evaluator said.
    """

    kind: str
    model: str
    as_it_should: bool
    named: bool
    excess: float
    told: str


def verdict_of(lab: LabModel) -> Verdict:
    """The verdict on a right conversion, with the outputs that the original gave."""
    mutation = Mutation("", "", "", lab.recognition.model)
    cases = materials(lab.recognition, lab.golden_files)
    found = evaluate(lab.recognition, mutation.run(), cases)
    excess = found.comparison.excess(CONVERTED, Thresholds())
    return Verdict(RIGHT, lab.name, found.blessed, True, excess, found.reason)


def verdicts_of_mutations(lab: LabModel) -> Iterator[Verdict]:
    """The verdicts on wrong conversions, without anybody's help but the formulas'."""
    for mutation in mutations(lab.recognition.model):
        found = evaluate_alone(lab, mutation)
        excess = found.comparison.excess(CONVERTED, Thresholds())
        yield Verdict(
            mutation.kind,
            f"{lab.name}, {mutation.where}",
            not found.equivalent,
            names(found, mutation),
            excess,
            str(found.diagnoses[0]) if found.diagnoses else "no cause found",
        )


def evaluate_alone(lab: LabModel, mutation: Mutation) -> Evaluation:
    """Evaluates a wrong conversion on probes."""
    evaluator = Evaluator(lab.recognition, mutation.run())
    cases = materials(lab.recognition)
    measured = Measurement()
    for case in cases:
        alone = Measurement((case.key,), comparison=evaluator.compare(case))
        measured = measured.merge(alone)
    found = judge(lab.recognition, measured, len(cases))
    return explain(found, lab.recognition, evaluator, cases)


def names(found: Evaluation, mutation: Mutation) -> bool:
    """Whether the diagnosis names the mistake and its place."""
    places = {mutation.where, EVERY if mutation.where else ""}
    return any(
        one.cause.startswith(mutation.cause) and one.where in places and one.matches
        for one in found.diagnoses
    )


def table(verdicts: Iterable[Verdict]) -> str:
    """One row for each sort of mistake."""
    kinds: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        kinds[verdict.kind].append(verdict)
    rows = ["| mistake | conversions | blessed | refused | cause named | least excess |"]
    rows.append("|---|---|---|---|---|---|")
    for kind, found in kinds.items():
        right = kind == RIGHT
        good = sum(one.as_it_should for one in found)
        blessed, refused = (good, len(found) - good) if right else (len(found) - good, good)
        named = "" if right else str(sum(one.named for one in found))
        least = "" if right else f"{min(one.excess for one in found):.2g}"
        rows.append(f"| {kind} | {len(found)} | {blessed} | {refused} | {named} | {least} |")
    return "\n".join([*rows, _total(kinds)]) + "\n"


def _total(kinds: dict[str, list[Verdict]]) -> str:
    wrong = [one for kind, found in kinds.items() if kind != RIGHT for one in found]
    refused, named = (
        Counter(getattr(one, what) for one in wrong)[True] for what in ("as_it_should", "named")
    )
    share = f"{named} ({100 * named / max(len(wrong), 1):.1f} %)"
    return f"| all mistakes | {len(wrong)} | {len(wrong) - refused} | {refused} | {share} | |"


def verdicts_of(name: str) -> list[Verdict]:
    """All verdicts on a model; in wrong conversions, one for each set of weights."""
    np.seterr(all="ignore")
    wrong = verdicts_of_mutations(LAB[name]) if name in DISTINCT else ()
    return [verdict_of(LAB[name]), *wrong]


def main(parts: Sequence[str]) -> None:
    """Evaluates, prints what is not as it should be, and writes the table."""
    chosen = [name for name in LAB if not parts or any(part in name for part in parts)]
    verdicts = []
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"  # a process for each core is faster
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(mp_context=context) as pool:
        for found in pool.map(verdicts_of, chosen):
            verdicts += found
            for verdict in found:
                if not (verdict.as_it_should and verdict.named):
                    print(f"{verdict.kind}: {verdict.model}: {verdict.excess:.2g}: {verdict.told}")
                    sys.stdout.flush()
    text = table(verdicts)
    print(text)
    if not parts:
        before, _, _ = FILE.read_text("utf-8").partition("| mistake |")
        FILE.write_text(before + text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
