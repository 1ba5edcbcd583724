"""Rules: from YAML to which rule matches an alert, and which step is next."""
