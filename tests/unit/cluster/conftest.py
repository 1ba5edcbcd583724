"""A server that stands in for an API server, and the cluster port in front of it."""

from collections.abc import AsyncIterator

import pytest

from remediator.cluster.client import KubernetesCluster
from tests.unit.cluster.stand_ins import Server, cluster_of


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def cluster(server: Server) -> AsyncIterator[KubernetesCluster]:
    async with cluster_of(server) as port:
        yield port
