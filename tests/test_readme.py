"""What the README says is so: its tables are those of the registries and of the lab."""

from __future__ import annotations

import pytest

from tests.support import README, SECTIONS, parts


@pytest.mark.slow
@pytest.mark.tfx  # the stack that `make support` runs on
@pytest.mark.parametrize("section", SECTIONS)
def test_the_tables_are_up_to_date(section: str) -> None:
    _, found, _ = parts(README.read_text("utf-8"), section)
    assert found == SECTIONS[section](), "run `make support`"
