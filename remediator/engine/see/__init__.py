"""Observing: the target and its surroundings, alerts and queries, and what guards look at."""
