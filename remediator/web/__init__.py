"""HTTP: the webhook, the API, health and metrics."""
