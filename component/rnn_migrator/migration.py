"""The whole way as a library: inspect a source, convert it, verify the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnn_migrator.canonical import HeadLayer, Node, TimeDistributed
from rnn_migrator.errors import NotEquivalentError, Problem, UnsupportedError, UsageError, raise_all
from rnn_migrator.files import atomic_folder, read_json, write_json
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.lineage.record import EXAMPLES_SIGNATURE, has_examples
from rnn_migrator.lineage.tensor_map import tensor_map
from rnn_migrator.progress import Progress, Stages, silent
from rnn_migrator.readers import LegacyArtifact, content_digest, open_artifact
from rnn_migrator.recognition.declared import DeclaredLayer, from_json
from rnn_migrator.recognition.recognise import Recognition, parts, recognise
from rnn_migrator.recognition.settings import parse_settings
from rnn_migrator.version import environment

if TYPE_CHECKING:
    from rnn_migrator.equivalence.evaluation import Evaluation
    from rnn_migrator.equivalence.inputs.plan import Inputs

CONVERSION_FILE = "conversion.json"
SCHEMA = 1
"""Version of the JSON in `conversion.json`."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What to convert, and how.

    Attributes:
      source: The legacy artifact.
      architecture: Keras JSON or YAML file that goes with weights-only HDF5.
      settings: `KEY=VALUE` texts.
      target: Where the converted model is to run.
      strict: Whether a mere assumption is refused.
      layers: The layers of an array dump whose names do not tell, as the user declares them.
      examples_signature: Whether the SavedModel also takes serialized tf.Example protos.
    """

    source: Path
    architecture: Path | None = None
    settings: tuple[str, ...] = ()
    target: Target = Target.PORTABLE
    strict: bool = False
    layers: tuple[DeclaredLayer, ...] = ()
    examples_signature: bool = False


def recognise_source(request: Request) -> Recognition:
    """Reads a source and says what it means.

    Raises:
      MigrationError: Unreadable, ambiguous or unsupported; with `strict`, assumed.
    """
    artifact = open_artifact(request.source, request.architecture)
    return recognise_artifact(artifact, request)


def recognise_artifact(artifact: LegacyArtifact, request: Request) -> Recognition:
    """The same for an artifact that is open already."""
    recognition = recognise(artifact, parse_settings(request.settings), request.layers)
    if request.strict:
        _refuse_assumptions(recognition)
    if request.examples_signature:
        from rnn_migrator.keras_model.examples import problems

        raise_all(UnsupportedError, problems(recognition.model))
    return recognition


def recognised_parts(artifact: LegacyArtifact, request: Request) -> dict[str, str]:
    """What is recognised of an artifact that is refused, by scope or layer."""
    return parts(artifact, parse_settings(request.settings))


def _refuse_assumptions(recognition: Recognition) -> None:
    problems = [
        Problem(
            where=f"{where}, {name}",
            expected="a value from the artifact or from the user (--strict)",
            received=f"{fact.value}, {fact.describe()}",
            remedy=f"--set {name}={'none' if fact.value is None else fact.value}, or the value the "
            "model was trained with",
        )
        for where, name, fact in recognition.model.facts()
        if not fact.confirmed
    ]
    if problems:
        raise UnsupportedError(*problems)


def convert(
    request: Request, output: Path, force: bool = False, progress: Stages = silent
) -> dict[str, Any]:
    """Converts a source and checks the result, as it lies on disk, before handing it out.

    Args:
      request: What and how.
      output: Folder to be: `saved_model/`, `model.keras`, `conversion.json`.
      force: Whether an existing output is replaced.
      progress: Told each stage before it begins.

    Returns:
      The content of `conversion.json`.

    Raises:
      MigrationError: It cannot be done, or the result is not equivalent; nothing is written.
    """
    progress("reading and recognising the source")
    recognition = recognise_source(request)
    if force:
        _check_replaceable(output, recognition.artifact)
    with atomic_folder(output, force) as folder:
        from rnn_migrator.keras_model.build import build_model
        from rnn_migrator.keras_model.export import save

        progress("building the Keras model")
        built = build_model(recognition.model, request.target)
        progress("writing the SavedModel and the .keras file")
        save(built, folder, request.examples_signature)
        progress("loading it again and comparing with the formulas in float64")
        _self_check(recognition, folder, request)
        document = _document(request, recognition, built.kernels)
        write_json(folder / CONVERSION_FILE, document)
    return document


def _check_replaceable(output: Path, artifact: LegacyArtifact) -> None:
    """Refuses to replace what is no output of a conversion, above all the source."""
    where, found = output.resolve(), ""
    if any(file.resolve().is_relative_to(where) for file in artifact.files):
        found = "a folder that holds the source"
    elif output.exists() and not _is_output(output):
        found = "something that rnn-migrate did not write"
    if found:
        remedy = "name a folder that does not exist yet"
        raise UsageError(Problem(str(output), "a new folder, or an earlier output", found, remedy))


def _is_output(folder: Path) -> bool:
    empty = folder.is_dir() and not any(folder.iterdir())
    return empty or (folder / CONVERSION_FILE).is_file()


def _self_check(recognition: Recognition, folder: Path, request: Request) -> None:
    """Compares what was written with the formulas of the source, on probes."""
    from rnn_migrator.equivalence.comparison import CONVERTED, Comparison, Thresholds
    from rnn_migrator.equivalence.evaluator import Evaluator
    from rnn_migrator.equivalence.inputs.probes import probe_cases
    from rnn_migrator.keras_model.reload import open_converted

    cases = probe_cases(recognition.model, request.examples_signature)
    evaluator = Evaluator(recognition, open_converted(folder, request.target, recognition.model))
    comparison = Comparison()
    for case in cases:
        comparison = comparison.merge(evaluator.compare(case))
    excess = comparison.excess(CONVERTED, Thresholds())
    if comparison.problems or not excess <= 1.0:
        worst = comparison.worst_error(CONVERTED)
        raise NotEquivalentError(
            Problem(
                where="the converted model, loaded again",
                expected="the outputs of the source's formulas in float64, up to rounding",
                received="; ".join(comparison.problems)
                or f"an error of {worst.error:.3g} in case {worst.case!r}",
                remedy="this is a defect of the converter: please report it with this source",
            )
        )


def _document(request: Request, recognition: Recognition, kernels: Sequence[Any]) -> dict[str, Any]:
    artifact = recognition.artifact
    return {
        "schema": SCHEMA,
        "source": describe_source(request, artifact, recognition.writer),
        "settings": list(request.settings),
        "declared": [layer.to_json() for layer in request.layers],
        "target": request.target.value,
        EXAMPLES_SIGNATURE: request.examples_signature,
        **describe(recognition),
        "kernels": [dataclasses.asdict(kernel) for kernel in kernels],
        "tensors": [dataclasses.asdict(link) for link in tensor_map(recognition.model, artifact)],
        "model_config": artifact.model_config,
        "versions": environment(),
    }


def describe_source(request: Request, artifact: LegacyArtifact, writer: str = "") -> dict[str, Any]:
    """The source as JSON values."""
    architecture = request.architecture
    return {
        "path": str(artifact.path.absolute()),
        "format": artifact.format,
        "writer": writer or artifact.writer,
        "sha256": artifact.digest,
        "files": [file.name for file in artifact.files],
        "architecture": str(architecture.absolute()) if architecture else None,
        "architecture_sha256": content_digest((architecture,)) if architecture else None,
    }


def describe(recognition: Recognition) -> dict[str, Any]:
    """Stacks, layers and facts as JSON values."""
    return {
        "stacks": dict(recognition.stacks),
        "notes": list(recognition.notes),
        "layers": [describe_layer(node) for node in recognition.model.nodes],
        "facts": describe_facts(recognition),
    }


def describe_layer(node: Node) -> dict[str, Any]:
    """A layer as JSON values."""
    layer = node.layer
    if isinstance(layer, HeadLayer):
        return {"name": layer.name, "class": layer.class_name, "inbound": list(node.inbound)}
    if isinstance(layer, TimeDistributed):
        inner = [describe_layer(inside) for inside in layer.inner.nodes]
        return {"name": layer.name, "class": "TimeDistributed", "inbound": list(node.inbound)} | {
            "layers": inner
        }
    return {
        "name": layer.name,
        "class": layer.label,
        "bidirectional": bool(layer.backward),
        "units": layer.forward[-1].cell.units,
        "input_size": layer.input_size,
        "layout": layer.forward[0].source.layout,
        "inbound": list(node.inbound),
    }


def describe_facts(recognition: Recognition) -> list[dict[str, Any]]:
    """The inferred values with their origins, as JSON values."""
    return [
        {"layer": where, "name": name, **fact.to_json()}
        for where, name, fact in recognition.model.facts()
    ]


def read_conversion(output: Path) -> dict[str, Any]:
    """The `conversion.json` of an output folder.

    Raises:
      UsageError: The folder is no output of `convert`.
    """
    document: dict[str, Any] = read_json(output / CONVERSION_FILE)
    return document


def source_of(source: Path, document: dict[str, Any], strict: bool = False) -> Recognition:
    """A source once more, read and recognised as it was for a conversion.

    Args:
      source: The legacy artifact.
      document: The content of `conversion.json`.
      strict: Whether a mere assumption is refused.
    """
    request = Request(
        source,
        None,
        tuple(document["settings"]),
        Target(document["target"]),
        strict,
        tuple(map(from_json, document["declared"])),
    )
    artifact = open_artifact(source)
    if document["model_config"] is not None:
        artifact = artifact.with_config(document["model_config"])
    return recognise_artifact(artifact, request)


def verify(
    source: Path,
    output: Path,
    inputs: Inputs | None = None,
    strict: bool = False,
    progress: Progress = silent,
    only: Sequence[str] = (),
) -> Evaluation:
    """Evaluates an output folder against its source.

    Args:
      source: The legacy artifact it was converted from.
      output: Folder that `convert` wrote.
      inputs: What to compare on besides probes.
      strict: Whether a mere assumption is refused.
      progress: Told each case before it runs.
      only: Keys of the cases to run; none for all.

    Raises:
      MigrationError: Source or output cannot be read, or a key is that of no case.
    """
    from rnn_migrator.equivalence.evaluation import evaluate
    from rnn_migrator.equivalence.inputs.plan import Inputs, chosen
    from rnn_migrator.keras_model.reload import open_converted

    document = read_conversion(output)
    recognition = source_of(source, document, strict)
    if recognition.artifact.digest != document["source"]["sha256"]:
        progress(f"{source} is not, byte for byte, what {output} was converted from")
    model = open_converted(output, Target(document["target"]), recognition.model)
    materials = (inputs or Inputs()).materials(recognition.model, has_examples(document))
    few = chosen(only, materials, recognition.model)
    return evaluate(recognition, model, few, progress=progress, partial=bool(only))
