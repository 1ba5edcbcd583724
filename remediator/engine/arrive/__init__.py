"""How an alert comes in: a webhook is durable before it is answered; its alerts become episodes, and those remediations."""
