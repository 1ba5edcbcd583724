"""A stack of its own for each test."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack
from tests.e2e.walk import Newcomer
from tests.real.parts import ControlPlane


@pytest.fixture
def namespace() -> str:
    return f"e2e-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def stack(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Stack]:
    built = Stack(control_plane, tmp_path)
    with built.running():
        yield built


@pytest.fixture
def newcomer(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Newcomer]:
    walking = Newcomer(control_plane, tmp_path)
    try:
        yield walking
    finally:
        walking.stop()
