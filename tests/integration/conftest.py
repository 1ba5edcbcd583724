"""The engine on virtual time, with the rules of `world.py`."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    built = await World().start()
    yield built
    await built.journal.close()
