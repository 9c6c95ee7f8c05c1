"""The specs of the components: what goes in, what comes out, what the cache can tell apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rnn_migrator.equivalence.comparison import Thresholds
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.version import converter_version

pytestmark = [pytest.mark.tfx, pytest.mark.slow]


def legacy_model() -> Any:
    from tfx.types import channel_utils

    from rnn_migrator.tfx_components.artifacts import LegacyModel

    return channel_utils.as_channel([LegacyModel()])


def model() -> Any:
    from tfx.types import channel_utils, standard_artifacts

    return channel_utils.as_channel([standard_artifacts.Model()])


def test_converter(tmp_path: Path) -> None:
    from tfx.types import standard_artifacts

    from rnn_migrator.tfx_components.converter.component import RnnConverter

    architecture = tmp_path / "architecture.json"
    architecture.write_text("{}")
    component = RnnConverter(legacy_model(), ["forget_bias=0"], Target.CPU, True, architecture)
    assert component.outputs["model"].type is standard_artifacts.Model
    properties = component.exec_properties
    assert json.loads(properties["settings"]) == ["forget_bias=0"]
    assert properties["target"] == "cpu"
    assert json.loads(properties["strict"]) is True
    assert json.loads(properties["examples_signature"]) is False
    assert properties["architecture"] == str(architecture)
    assert properties["converter_version"] == converter_version()
    architecture.write_text("{ }")
    again = RnnConverter(legacy_model(), architecture=architecture, examples_signature=True)
    assert json.loads(again.exec_properties["examples_signature"]) is True
    key = "architecture_sha256"
    assert again.exec_properties[key] != properties[key], "cached for other bytes"


def test_converter_by_default() -> None:
    from rnn_migrator.tfx_components.converter.component import RnnConverter

    properties = RnnConverter(legacy_model()).exec_properties
    assert properties["target"] == "portable"
    assert json.loads(properties["settings"]) == []
    assert not properties.get("architecture")


def test_evaluator(tmp_path: Path) -> None:
    from tfx.types import standard_artifacts

    from rnn_migrator.tfx_components.evaluator.component import EquivalenceEvaluator

    golden = tmp_path / "golden.npz"
    golden.write_bytes(b"one")
    component = EquivalenceEvaluator(legacy_model(), model(), [golden], Thresholds(4.0, 1e-7))
    assert component.outputs["blessing"].type is standard_artifacts.ModelBlessing
    assert component.outputs["evaluation"].type is standard_artifacts.ModelEvaluation
    properties = component.exec_properties
    assert Thresholds(**json.loads(properties["thresholds"])) == Thresholds(4.0, 1e-7)
    assert json.loads(properties["golden"])[0]["path"] == str(golden)
    golden.write_bytes(b"two")
    again = EquivalenceEvaluator(legacy_model(), model(), [golden])
    assert again.exec_properties["golden"] != properties["golden"], "cached for other recordings"


def test_every_property_is_text() -> None:
    """A store keeps six decimals of a number, and Kubeflow makes doubles of integers."""
    from rnn_migrator.tfx_components.converter.component import RnnConverter
    from rnn_migrator.tfx_components.evaluator.component import EquivalenceEvaluator

    for component in (RnnConverter(legacy_model()), EquivalenceEvaluator(legacy_model(), model())):
        values = [value for value in component.exec_properties.values() if value is not None]
        assert values
        assert all(isinstance(value, str) for value in values)
