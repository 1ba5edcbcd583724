"""Alertmanager: its API, its webhook's payload, and one in
memory for tests, replay and the demo.
"""
