"""`python -m axon_shell` is `axon-shell`."""

from .cli import main

if __name__ == "__main__":
    main()
