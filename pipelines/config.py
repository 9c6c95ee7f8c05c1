"""The YAML file of a migration: what is converted, how it is judged, where everything goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic

from pipelines.expansion import expand, names_many, with_recordings
from rnn_migrator.config import (
    ConfigFile,
    ConfigPath,
    ConfigStore,
    LayerConfig,
    Section,
    SettingTexts,
    read_nodes,
    validate,
)
from rnn_migrator.equivalence.comparison import Thresholds
from rnn_migrator.equivalence.inputs.examples import (
    DEFAULT_BATCH,
    Examples,
    find_files,
    split_paths,
)
from rnn_migrator.equivalence.inputs.plan import Inputs
from rnn_migrator.equivalence.inputs.search import SearchSpace
from rnn_migrator.errors import Problem, UsageError, raise_all
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.lineage.store import METADATA_FILE, StoreAddress
from rnn_migrator.migration import Request, recognise_source
from rnn_migrator.recognition.declared import DeclaredLayer

_DIRECT_RUNNER = ("--runner=DirectRunner", "--direct_running_mode=in_memory")

# A thread waits for each process that migrates a model; 0 is one for each core.
_FAN_OUT = (
    "--runner=DirectRunner",
    "--direct_running_mode=multi_threading",
    "--direct_num_workers=0",
)


class Source(Section):
    """The legacy artifact.

    Attributes:
      path: Checkpoint prefix or folder, Keras HDF5 file, NPZ file, or folder of CSV or NPY files.
      architecture: Keras JSON or YAML file that goes with weights-only HDF5.
      set: What the artifact cannot say, as texts `KEY=VALUE` or as a mapping.
      layers: The recurrent layers of an array dump whose names do not tell, from the bottom.
    """

    path: ConfigPath
    architecture: ConfigFile | None = None
    set: SettingTexts = ()
    layers: tuple[LayerConfig, ...] = ()

    @property
    def declared(self) -> tuple[DeclaredLayer, ...]:
        """The layers as recognition takes them."""
        return tuple(layer.declared() for layer in self.layers)


Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class OutputThresholds(Section):
    """The thresholds of one output; what is not stated is that of all outputs."""

    factor: pydantic.PositiveFloat | None = None
    floor: pydantic.PositiveFloat | None = None
    noisy: pydantic.PositiveFloat | None = None
    argmax: Share | None = None


class ExamplesConfig(Section):
    """A data set.

    Attributes:
      path: TFRecord file, or folder of such files, such as an `Examples` artifact of TFX.
      splits: Those of its folders `Split-NAME` to take; all of the folder unless stated.
      features: Name of the feature by name of the model's input, where they differ.
      schema_file: A TFX schema (`schema.pbtxt`) that says so too; the key is `schema`.
      batch: Records that are compared at a time, at most.
    """

    path: ConfigPath
    splits: tuple[str, ...] = ()
    features: dict[str, str] = pydantic.Field(default_factory=dict)
    schema_file: ConfigFile | None = pydantic.Field(None, alias="schema")
    batch: pydantic.PositiveInt = DEFAULT_BATCH

    @property
    def paths(self) -> list[str]:
        """Where the files are."""
        return split_paths(str(self.path), self.splits)

    @property
    def examples(self) -> Examples:
        """The data set.

        Raises:
          UsageError: There are no files where they should be.
        """
        schema = str(self.schema_file or "")
        return Examples(find_files(self.paths), self.features, schema, self.batch)


class SearchConfig(Section):
    """A search for the worst input.

    Attributes:
      ranges: Smallest and largest value by input; ids have those of their embedding unless stated.
      steps: Fewest and most time steps, where the model leaves them open.
      tries: How many inputs to try.
    """

    ranges: dict[str, tuple[float, float]] = pydantic.Field(default_factory=dict)
    steps: tuple[pydantic.PositiveInt, pydantic.PositiveInt] = SearchSpace.steps
    tries: pydantic.PositiveInt = SearchSpace.tries

    @pydantic.field_validator("steps")
    @classmethod
    def _in_order(cls, steps: tuple[int, int]) -> tuple[int, int]:
        if steps[0] > steps[1]:
            raise ValueError("the fewest steps, then the most")
        return steps

    @property
    def space(self) -> SearchSpace:
        """Where to search."""
        return SearchSpace(self.ranges, self.steps, self.tries)


class Evaluation(Section):
    """How the converted model is judged.

    Attributes:
      golden: NPZ files of inputs and outputs recorded in the original framework.
      examples: A data set of TFRecord files.
      search: Where to search for the worst input.
      factor: How many times the rounding error of the model an error may be.
      floor: Errors up to this are rounding, relative to the largest output (at least 1).
      noisy: Where rounding alone passes this, outputs are shown and not judged.
      argmax: Least share of a classifier's clear decisions that must come out alike.
      outputs: Other thresholds for some outputs, by "signature/output".
    """

    golden: tuple[ConfigFile, ...] = ()
    examples: ExamplesConfig | None = None
    search: SearchConfig | None = None
    factor: pydantic.PositiveFloat = Thresholds.factor
    floor: pydantic.PositiveFloat = Thresholds.floor
    noisy: pydantic.PositiveFloat = Thresholds.noisy
    argmax: Share = Thresholds.argmax
    outputs: dict[str, OutputThresholds] = pydantic.Field(default_factory=dict)

    @property
    def inputs(self) -> Inputs:
        """What to compare on besides probes.

        Raises:
          UsageError: There are no examples where they should be.
        """
        data = self.examples
        return Inputs(
            tuple(map(str, self.golden)),
            data.examples if data else None,
            self.search.space if self.search else None,
        )

    @property
    def thresholds(self) -> Thresholds:
        """What counts as equivalent."""
        others = {
            name: stated.model_dump(exclude_none=True) for name, stated in self.outputs.items()
        }
        return Thresholds(self.factor, self.floor, self.noisy, self.argmax, others)


class Output(Section):
    """Where everything goes.

    Attributes:
      root: Folder of the runs: what each component made.
      serving: Folder that blessed models are pushed to, a version each; `root`/serving.
      metadata: Store of ML Metadata: a file of SQLite, or a database by its connection string,
        whose password may be `${NAME}` of the environment; `root`/metadata.sqlite.
    """

    root: ConfigPath
    serving: ConfigPath = Path("serving")
    metadata: ConfigStore = StoreAddress(METADATA_FILE)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _below_root(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not isinstance(root := value.get("root"), str):
            return value
        below = {key: f"{root}/{cls.model_fields[key].default}" for key in ("serving", "metadata")}
        return {**below, **value}


class MigrationConfig(Section):
    """A migration, its paths absolute.

    Attributes:
      name: Name of the pipeline.
      source: The legacy artifact.
      target: Where the converted model is to run.
      strict: Whether a mere assumption is refused at once, instead of being left unblessed.
      examples_signature: Whether the SavedModel also takes serialized tf.Example protos.
      evaluation: How the converted model is judged.
      output: Where everything goes.
      cache: Whether results of earlier runs are taken for unchanged inputs.
      beam_pipeline_args: Runner of the evaluation and its options.
      fan_out: Runner that spreads the models of a config of many, and its options.
    """

    name: Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,127}$")]
    source: Source
    target: Target = Target.PORTABLE
    strict: bool = False
    examples_signature: bool = False
    evaluation: Evaluation = Evaluation()
    output: Output
    cache: bool = True
    beam_pipeline_args: tuple[str, ...] = _DIRECT_RUNNER
    fan_out: tuple[str, ...] = _FAN_OUT

    @property
    def request(self) -> Request:
        """The conversion."""
        source = self.source
        return Request(
            source.path,
            source.architecture,
            source.set,
            self.target,
            self.strict,
            source.declared,
            self.examples_signature,
        )


@dataclasses.dataclass(frozen=True)
class Migrations:
    """What a config asks for.

    Attributes:
      name: Name of the config.
      models: The migration of each model, by the model's name; that of the only one is "".
    """

    name: str
    models: Mapping[str, MigrationConfig]

    @property
    def only(self) -> MigrationConfig | None:
        """The migration of a config of one model, None of a config of many."""
        return self.models.get("")

    @property
    def root(self) -> Path:
        """Folder that the folders of many models lie in."""
        return next(iter(self.models.values())).output.root.parent

    @property
    def fan_out(self) -> tuple[str, ...]:
        """Runner that spreads the models, and its options."""
        return next(iter(self.models.values())).fan_out


def load_migrations(file: Path) -> Migrations:
    """Reads a config of one model or of many.

    Args:
      file: YAML file; paths in it are relative to its folder.

    Raises:
      UsageError: No such file, or not what it should be: every problem, with its line.
    """
    root = read_nodes(file)
    if root is None or not names_many(root):
        root = root and with_recordings(file, root)
        config = validate(file, MigrationConfig, root)
        return Migrations(config.name, {"": config})
    models: dict[str, MigrationConfig] = {}
    problems: list[Problem] = []
    for name, node in expand(file, root).items():
        try:
            models[name] = validate(file, MigrationConfig, node)
        except UsageError as e:
            problems += e.problems
    # What all have in common is wrong in all of them.
    raise_all(UsageError, dict.fromkeys(problems))
    name, config = next(iter(models.items()))
    return Migrations(config.name.removesuffix(f"-{name}"), models)


def load_config(file: Path) -> MigrationConfig:
    """Reads the config of a single migration.

    Args:
      file: YAML file; paths in it are relative to its folder.

    Raises:
      UsageError: No such file, or not what it should be: every problem, with its line; or it
        names many models.
    """
    migrations = load_migrations(file)
    if migrations.only is None:
        raise UsageError(
            Problem(
                where=str(file),
                expected="the config of one model",
                received=f"one of many: {', '.join(migrations.models)}",
                remedy="name its artifact by a path, without `models` and without a pattern",
            )
        )
    return migrations.only


def check_config(config: MigrationConfig) -> None:
    """Refuses what cannot be converted or compared, before anything is started or recorded.

    Raises:
      MigrationError: Source or data cannot be read, or do not belong together.
    """
    config.evaluation.inputs.materials(recognise_source(config.request).model)
