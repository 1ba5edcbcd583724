"""Arrival: a webhook is durable before it is acknowledged; its alerts become episodes and
remediations.
"""
