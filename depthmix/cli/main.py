"""Dispatch to the commands."""


def main() -> int:
    """Run the command line."""
    raise NotImplementedError
