"""What the compiler for Kubeflow and the cache ask of our artifact type."""

from __future__ import annotations

import importlib
import re

import pytest

pytestmark = [pytest.mark.tfx, pytest.mark.slow]


def test_the_name_of_the_type_is_where_the_class_is_found() -> None:
    from rnn_migrator.tfx_components.artifacts import LegacyModel

    assert re.fullmatch("[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}", LegacyModel.TYPE_NAME)
    module, _, name = LegacyModel.TYPE_NAME.rpartition(".")
    assert getattr(importlib.import_module(module), name) is LegacyModel


def test_the_type_has_no_typed_properties() -> None:
    from rnn_migrator.tfx_components.artifacts import LegacyModel

    assert not LegacyModel.PROPERTIES
