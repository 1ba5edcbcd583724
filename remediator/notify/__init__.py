"""Receivers: where notifications are delivered, one file per kind."""

from ..plugins import Registry
from .receiver import ReceiverKind

RECEIVERS: Registry[ReceiverKind] = Registry(__name__, ReceiverKind)
