"""The executors on folders, without a pipeline around them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from rnn_migrator.equivalence.comparison import Thresholds
from rnn_migrator.errors import UnsupportedError, UsageError
from rnn_migrator.lineage import record
from rnn_migrator.lineage.audit import file_digests
from rnn_migrator.readers import open_artifact
from tests.equivalence.inputs.records import example, sequences, write
from tests.legacy_lab.cases import Case

pytestmark = [pytest.mark.tfx, pytest.mark.slow]


def artifact(kind: Any, uri: Path, **properties: str) -> Any:
    made = kind()
    made.uri = str(uri)
    for key, value in properties.items():
        made.set_string_custom_property(key, value)
    return made


def legacy_model(case: Case, **properties: str) -> Any:
    from rnn_migrator.tfx_components.artifacts import LegacyModel

    return artifact(LegacyModel, case.source, **properties)


def convert(legacy: Any, folder: Path, **properties: str) -> Any:
    from tfx.types import standard_artifacts

    from rnn_migrator.tfx_components.converter.executor import Executor

    folder.mkdir(parents=True)  # as TFX does
    model = artifact(standard_artifacts.Model, folder)
    settings = {"settings": "[]", "layers": "[]", "target": "cpu", "strict": "false"}
    settings |= {"examples_signature": "false", **properties}
    Executor().Do({"legacy_model": [legacy]}, {"model": [model]}, settings)
    return model


def test_the_evaluator_packs_nothing_for_workers_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beam's arguments arrive as they are; TFX's own executors pack 49 MB at every run."""
    from rnn_migrator.tfx_components.evaluator.executor import Executor

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["pytest", "-v", "--durations=10"])  # no flags of TFX's
    executor = Executor(Executor.Context(beam_pipeline_args=["--direct_num_workers=2"]))
    with executor._make_beam_pipeline() as pipeline:
        assert pipeline.options.get_all_options()["direct_num_workers"] == 2
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def case(cases: dict[str, Case]) -> Case:
    return cases["tf1_stacked_lstm_npz"]


@pytest.fixture(scope="module")
def model(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Converted rightly, but on assumptions: arrays do not say which activation and clip."""
    legacy = legacy_model(case, sha256=open_artifact(case.source).digest)
    return convert(
        legacy,
        tmp_path_factory.mktemp("model") / "1",
        settings=json.dumps(["forget_bias=1.0"]),
    )


@dataclasses.dataclass
class Evaluated:
    blessing: Any
    evaluation: Any

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(Path(self.evaluation.uri, "evaluation.json").read_text())


def evaluate(
    case: Case, model: Any, folder: Path, *golden: Path, data: Any = (), **artifacts: Any
) -> Evaluated:
    from tfx.types import standard_artifacts

    from rnn_migrator.tfx_components.evaluator.executor import Executor

    blessing = artifact(standard_artifacts.ModelBlessing, folder / "blessing")
    evaluation = artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")
    for made in (blessing, evaluation):
        Path(made.uri).mkdir()
    model.id = 42
    Executor().Do(
        {"legacy_model": [legacy_model(case)], "model": [model], **artifacts},
        {"blessing": [blessing], "evaluation": [evaluation]},
        {
            "golden": json.dumps([{"path": str(file), "sha256": ""} for file in golden]),
            "data": json.dumps(dict(data)),
            "thresholds": json.dumps(dataclasses.asdict(Thresholds())),
        },
    )
    return Evaluated(blessing, evaluation)


def test_the_model_lies_where_other_components_look_for_it(model: Any) -> None:
    import tensorflow as tf
    from tfx.utils import path_utils

    from rnn_migrator.migration import read_conversion

    serving = Path(path_utils.serving_model_path(model.uri))
    assert "serving_default" in tf.saved_model.load(str(serving)).signatures
    folder = Path(model.uri)
    assert (folder / "saved_model").resolve() == serving.resolve()
    assert (folder / "model.keras").is_file()
    assert read_conversion(folder)["target"] == "cpu"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing left behind"


def test_the_model_says_where_it_came_from(case: Case, model: Any) -> None:
    stored = {
        key: value.string_value
        for key, value in model.mlmd_artifact.custom_properties.items()
        if value.WhichOneof("value") == "string_value"
    }
    properties = record.decode(stored)
    assert properties["files"] == file_digests(Path(model.uri))
    assert properties["legacy_path"] == str(case.source)
    assert properties["legacy_sha256"] == open_artifact(case.source).digest
    assert properties["target"] == "cpu"
    assert properties["settings"] == ["forget_bias=1.0"]
    origins = {fact["name"]: fact["origin"] for fact in properties["facts"]}
    assert origins["forget_bias"] == "user"
    assert len(properties["tensors"]) == 3
    assert all(link["sources"] and link["targets"] for link in properties["tensors"])


def test_a_model_that_agrees_with_its_recordings_is_blessed(
    case: Case, model: Any, tmp_path: Path
) -> None:
    found = evaluate(case, model, tmp_path, case.goldens["with_lengths"])
    assert [path.name for path in Path(found.blessing.uri).iterdir()] == ["BLESSED"]
    assert found.blessing.get_int_custom_property("blessed") == 1
    assert found.blessing.get_string_custom_property("current_model") == model.uri
    assert found.blessing.get_int_custom_property("current_model_id") == 42
    assert found.blessing.get_string_custom_property("reason") == found.document["reason"]
    assert found.evaluation.get_string_custom_property("verdict") == "blessed"
    assert float(found.blessing.get_string_custom_property("largest_error")) < 1e-5


def test_tfx_pusher_understands_the_blessing(case: Case, model: Any, tmp_path: Path) -> None:
    from tfx.components.util.model_utils import is_model_blessed

    (tmp_path / "proven").mkdir()
    (tmp_path / "assumed").mkdir()
    assert is_model_blessed(
        evaluate(case, model, tmp_path / "proven", case.goldens["with_lengths"]).blessing
    )
    assert not is_model_blessed(evaluate(case, model, tmp_path / "assumed").blessing)


def test_a_mere_assumption_is_not_blessed(case: Case, model: Any, tmp_path: Path) -> None:
    found = evaluate(case, model, tmp_path)
    assert [path.name for path in Path(found.blessing.uri).iterdir()] == ["NOT_BLESSED"]
    assert found.blessing.get_int_custom_property("blessed") == 0
    assert found.document["equivalent"]
    assert "assumed" in found.blessing.get_string_custom_property("reason")


def test_a_wrong_setting_is_not_blessed(case: Case, tmp_path: Path) -> None:
    wrong = convert(
        legacy_model(case), tmp_path / "model" / "1", settings=json.dumps(["forget_bias=0.0"])
    )
    found = evaluate(case, wrong, tmp_path, case.goldens["with_lengths"])
    assert found.blessing.get_int_custom_property("blessed") == 0
    assert not found.document["equivalent"]


@pytest.fixture
def examples(tmp_path: Path) -> Any:
    """As an ExampleGen writes them: two splits."""
    from tfx.types import standard_artifacts

    for split, seed in (("eval", 0), ("train", 1)):
        records = (example(x=array) for array in sequences(40, 4, seed=seed))
        write(tmp_path / "examples" / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz", records)
    return artifact(standard_artifacts.Examples, tmp_path / "examples")


def test_examples_are_compared(case: Case, model: Any, tmp_path: Path, examples: Any) -> None:
    golden, data = case.goldens["with_lengths"], {"features": {"inputs": "x"}}
    found = evaluate(case, model, tmp_path, golden, data=data, examples=[examples])
    file = "data_tfrecord-00000-of-00001.gz"
    assert found.document["records"] == {
        f"Split-{split}/{file}": {"sent": 40, "compared": 40} for split in ("eval", "train")
    }
    assert "80 records" in found.document["reason"]
    assert found.blessing.get_int_custom_property("blessed") == 1


def test_a_split_and_a_schema(case: Case, model: Any, tmp_path: Path, examples: Any) -> None:
    from tfx.types import standard_artifacts

    (tmp_path / "schema").mkdir()
    value = """tensor_representation { key: "inputs" value {
        varlen_sparse_tensor { column_name: "x" } } }"""
    (tmp_path / "schema" / "schema.pbtxt").write_text(
        'feature { name: "x" type: FLOAT }'
        f'tensor_representation_group {{ key: "" value {{ {value} }} }}'
    )
    schema = artifact(standard_artifacts.Schema, tmp_path / "schema")
    found = evaluate(
        case, model, tmp_path, data={"splits": ["eval"]}, examples=[examples], schema=[schema]
    )
    assert list(found.document["records"]) == ["data_tfrecord-00000-of-00001.gz"]


def test_the_worst_input_is_searched_for(case: Case, model: Any, tmp_path: Path) -> None:
    search = {"ranges": {"inputs": [-3, 3]}, "steps": [1, 9], "tries": 20}
    found = evaluate(case, model, tmp_path, data={"search": search})
    assert [key for key in found.document["cases"]["compared"] if key.startswith("search")] == [
        f"search {number} of 4" for number in (1, 2, 3, 4)
    ]


def test_other_bytes_than_were_imported_are_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="that were imported"):
        convert(legacy_model(case, sha256="00" * 32), tmp_path / "model" / "1")
    assert list((tmp_path / "model" / "1").iterdir()) == []


def test_what_cannot_be_converted_leaves_nothing(case: Case, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="forget_bias"):
        convert(legacy_model(case), tmp_path / "model" / "1", strict="true")
    assert list((tmp_path / "model" / "1").iterdir()) == []
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["1"]
