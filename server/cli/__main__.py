"""`python -m server.cli` is `hushpost`."""

from server.cli import main

if __name__ == "__main__":
    main()
