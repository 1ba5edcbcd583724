"""Checks before acting: one file per guard. Every verdict is kept; the strongest decides."""
