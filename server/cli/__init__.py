"""The `hushpost` command; `program` holds it."""


def main() -> None:
    # Here, so that importing one part of this package does not load all the others.
    from server.cli.program import run  # noqa: PLC0415 - see above

    run()
