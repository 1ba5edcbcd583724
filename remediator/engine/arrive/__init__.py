"""How an alert comes in: a webhook is durable before it is answered.

Its alerts become episodes, and those remediations.
"""
