"""What is installed with the code: remediation rules, alerting rules, dashboards."""

from pathlib import Path

FOLDER = Path(__file__).parent


def rules() -> Path:
    """The folder of the shipped remediation rules."""
    return FOLDER / "rules"
