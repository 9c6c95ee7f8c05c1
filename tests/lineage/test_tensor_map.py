from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from rnn_migrator.keras_model.build import build_model
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.lineage.tensor_map import TensorLink, tensor_map
from rnn_migrator.readers import array_digest, open_artifact
from rnn_migrator.recognition.recognise import recognise
from rnn_migrator.recognition.settings import parse_settings
from tests.equivalence.lab import LAB, LabModel, recognised


def links_of(name: str) -> list[TensorLink]:
    """The links of a lab model."""
    recognition = LAB[name].recognition
    return tensor_map(recognition.model, recognition.artifact)


labs = pytest.mark.parametrize("lab", LAB.values(), ids=LAB)


@labs
def test_every_source_is_a_tensor_of_the_artifact(lab: LabModel) -> None:
    artifact = open_artifact(lab.case.source, lab.case.architecture)
    links = tensor_map(lab.recognition.model, lab.recognition.artifact)
    assert links
    for link in links:
        assert link.sources
        for name, digest in link.sources.items():
            assert array_digest(artifact.read(name)) == digest


@labs
def test_every_target_is_a_weight_of_the_converted_model(lab: LabModel) -> None:
    built = build_model(lab.recognition.model, Target.PORTABLE)
    written = {array_digest(weight) for weight in built.keras_model.get_weights()}
    targets = [
        digest
        for link in tensor_map(lab.recognition.model, lab.recognition.artifact)
        for digest in link.targets.values()
    ]
    assert set(targets) == written


@labs
def test_every_tensor_that_was_read_is_named_once(lab: LabModel) -> None:
    read: list[str] = []

    def load(name: str) -> Any:
        read.append(name)
        return artifact.load(name)

    artifact = open_artifact(lab.case.source, lab.case.architecture)
    spied = dataclasses.replace(artifact, load=load)
    settings = [f"{key}={value}" for key, value in lab.case.settings.items()]
    settings += [f"scope={lab.scope}"] if lab.scope else []
    found = recognise(spied, parse_settings(settings))
    taken = set(read)
    links = tensor_map(found.model, lab.recognition.artifact)
    assert {name for link in links for name in link.sources} == taken


def test_layers_and_directions_are_named() -> None:
    layers = [link.layer for link in links_of("keras2_bidirectional_lstm")]
    assert layers == [
        "bidirectional_1/fw",
        "bidirectional_1/bw",
        "bidirectional_2/fw",
        "bidirectional_2/bw",
        "dense_1",
    ]


def test_a_layer_without_weights_is_not_in_it() -> None:
    for lab in LAB.values():
        for link in tensor_map(lab.recognition.model, lab.recognition.artifact):
            assert link.sources, link.layer


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("tf1_basic_lstm_fb2", ["forget bias 2.0 summed into the bias"]),
        ("tf1_basic_lstm_fb0", [""]),
        (
            "tf1_stacked_lstm_forget_bias",
            ["", "forget bias 2.5 summed into the bias"],
        ),
        ("keras2_cudnn_lstm", ["two biases summed into one"] * 2 + [""]),
        ("keras2_gru_cudnn", ["", ""]),
        ("tf1_bidirectional_gru", ["", ""]),
    ],
)
def test_the_lossy_step_is_told(name: str, notes: list[str]) -> None:
    assert [link.note for link in links_of(name)] == notes


def test_a_weight_that_changes_shows_at_both_ends() -> None:
    [one], [two] = links_of("tf1_basic_lstm_fb1"), links_of("tf1_basic_lstm_fb2")
    assert set(one.sources.values()).isdisjoint(two.sources.values())
    assert set(one.targets.values()).isdisjoint(two.targets.values())


def test_the_forget_bias_shows_in_the_target_only() -> None:
    case = LAB["tf1_basic_lstm_fb1"].case
    found = [recognised(case, "", f"forget_bias={value}") for value in (0, 1)]
    [one], [two] = (tensor_map(each.model, each.artifact) for each in found)
    assert one.sources == two.sources
    assert one.targets["kernel"] == two.targets["kernel"]
    assert one.targets["bias"] != two.targets["bias"]


def test_it_goes_into_json() -> None:
    links = links_of("keras2_cudnn_lstm")
    text = json.loads(json.dumps([dataclasses.asdict(link) for link in links]))
    assert text[0]["layout"] == "keras_cudnn_lstm"
    assert list(text[0]["targets"]) == ["kernel", "recurrent_kernel", "bias"]
    assert all(len(digest) == 64 for digest in text[0]["sources"].values())


def test_a_digest_is_that_of_numpy_alone() -> None:
    """Anybody can check a link without the converter."""
    import hashlib

    array = np.arange(6, dtype="<f4").reshape(2, 3)
    expected = hashlib.sha256(b"float32[2, 3]" + array.tobytes()).hexdigest()
    assert array_digest(array) == expected
