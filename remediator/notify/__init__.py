"""Receivers: where the outbox delivers.

One file for each kind, exporting RECEIVER; the registry is the folder.
"""

from ..plugins import Registry
from .receiver import ReceiverKind

RECEIVERS: Registry[ReceiverKind] = Registry(__name__, ReceiverKind)
