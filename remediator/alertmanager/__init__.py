"""Alertmanager: its API, its webhook's payload, and a sandbox in memory."""
