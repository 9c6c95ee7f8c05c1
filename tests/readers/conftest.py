"""What tests of readers share: a model of tf.keras 2 in all its formats."""

from __future__ import annotations

import pytest

from tests.readers.keras_models import SavedKeras, save_everything


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedKeras:
    """Returns a model that `tf_keras` saved; skips where that is not installed."""
    return save_everything(tmp_path_factory.mktemp("keras"))
