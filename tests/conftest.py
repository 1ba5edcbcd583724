"""Fixtures: the real parts, once per run."""

from collections.abc import Iterator

import pytest

from remediator.telemetry import configure_log
from tests.real.parts import ControlPlane, Ended, PostgreSQL

configure_log("error")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    try:
        try:
            plane.start()
        except Ended:  # another program took a port between our choice and its server's start
            plane.stop()
            plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
            plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    server = PostgreSQL(tmp_path_factory.mktemp("postgresql"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
