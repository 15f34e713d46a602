"""The operator's log lines cost more than its work here, and nobody reads them."""

from collections.abc import Iterator

import pytest
import structlog

from tests.unit.faults.sweep import quiet


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    before = structlog.get_config()
    quiet()
    yield
    structlog.configure(**before)
