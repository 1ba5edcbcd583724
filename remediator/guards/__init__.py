"""Checks before acting: one file per guard, asked in the pipeline's order.

All verdicts are kept, the strongest wins.
"""
