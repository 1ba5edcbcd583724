"""Effects in order, talking only to ports: intake, triage, worker, executor, verification, people."""
