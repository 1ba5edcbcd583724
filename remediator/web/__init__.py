"""HTTP: the webhook, the operators' API, approval pages, health and metrics."""
