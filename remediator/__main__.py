"""`python -m remediator` and the `remediator` command."""

import sys

from .errors import RemediatorError


def main() -> None:
    """Runs the command; an error on purpose is one message and its exit code."""
    try:
        from .cli import main as command  # what other distributions bring is loaded with it

        command(standalone_mode=True)
    except RemediatorError as error:
        print(f"remediator: {error}", file=sys.stderr)
        for finding in getattr(error, "findings", []):
            print(finding.render(), file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
