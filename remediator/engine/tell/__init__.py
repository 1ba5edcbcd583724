"""What people, metrics and the Kubernetes Events are told, and when."""
