"""remediator: acts on Kubernetes for Alertmanager alerts, under
limits, and proves that the act helped.
"""

__version__ = "0.2.0"
