"""The server on loopback that the contract of receivers has."""

from tests.contract.test_notify import server as server
