"""Effects in order, talking only to ports.

Intake, triage, worker, executor, verification, people.
"""
