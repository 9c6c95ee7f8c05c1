from __future__ import annotations

from pathlib import Path

import pytest

from rnn_migrator.equivalence.inputs.examples import Examples
from rnn_migrator.errors import UnreadableError, UsageError
from tests.equivalence.inputs.models import embedded, stack

pytestmark = pytest.mark.tfx

FLOATS = 'feature { name: "x" type: FLOAT }'
LENGTHS = 'feature { name: "sequence_length" type: INT }'
STEPS = """
feature { name: "##SEQUENCE##" type: STRUCT
  struct_domain { feature { name: "x" type: FLOAT } feature { name: "t" type: BYTES } } }
"""


def representation(name: str, text: str) -> str:
    value = f'tensor_representation {{ key: "{name}" value {{ {text} }} }}'
    return f'tensor_representation_group {{ key: "" value {{ {value} }} }}'


DENSE = representation("inputs", 'dense_tensor { column_name: "x" shape { dim { size: 6 } } }')
VARLEN = representation("inputs", 'varlen_sparse_tensor { column_name: "x" }')
RAGGED = representation(
    "inputs", 'ragged_tensor { feature_path { step: "##SEQUENCE##" step: "x" } }'
)


def features(folder: Path, text: str, **stated: str) -> dict[str, str]:
    file = folder / "schema.pbtxt"
    file.write_text(text)
    for path in (file, folder):  # a file, or a TFX artifact
        found = Examples((), stated, str(path)).of(stack())
        assert not found.schema
    return dict(found.features)


@pytest.mark.parametrize("text", [FLOATS + DENSE, FLOATS + VARLEN, STEPS + RAGGED])
def test_tensors_say_what_features_they_are(tmp_path: Path, text: str) -> None:
    assert features(tmp_path, text) == {"inputs": "x"}


def test_a_feature_of_the_name_of_the_input(tmp_path: Path) -> None:
    assert features(tmp_path, 'feature { name: "inputs" type: FLOAT }') == {"inputs": "inputs"}


def test_lengths(tmp_path: Path) -> None:
    found = features(tmp_path, FLOATS + DENSE + LENGTHS)
    assert found == {"inputs": "x", "sequence_length": "sequence_length"}


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    text = FLOATS + 'feature { name: "y" type: FLOAT }' + DENSE
    assert features(tmp_path, text, inputs="y") == {"inputs": "y"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no such feature"),
        (FLOATS, "no such feature"),
        ('feature { name: "inputs" type: BYTES }', "type BYTES"),
        (STEPS + RAGGED.replace('"x"', '"t"'), "type BYTES"),
        ('feature { name: "inputs" type: FLOAT shape { dim { size: 7 } } }', r"shape \[7\]"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        features(tmp_path, text)
    assert "schema.pbtxt, input 'inputs'" in str(caught.value)


def test_a_fixed_length(tmp_path: Path) -> None:
    model = embedded([4])
    [source] = model.inputs
    file = tmp_path / "schema.pbtxt"
    text = f'feature {{ name: "{source.name}" type: INT shape {{ dim {{ size: %d }} }} }}'
    file.write_text(text % 4)
    assert Examples((), {}, str(file)).of(model).features == {source.name: source.name}
    file.write_text(text % 5)
    with pytest.raises(UsageError, match=r"shape \[5\]"):
        Examples((), {}, str(file)).of(model)


@pytest.mark.parametrize("text", ["feature {", "x: 1", "\ud800"])
def test_no_schema(tmp_path: Path, text: str) -> None:
    (tmp_path / "schema.pbtxt").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UnreadableError, match=r"schema of TensorFlow Metadata"):
        Examples((), {}, str(tmp_path)).of(stack())
    with pytest.raises(UnreadableError):
        Examples((), {}, str(tmp_path / "missing.pbtxt")).of(stack())
