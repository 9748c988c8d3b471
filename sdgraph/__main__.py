"""`python -m sdgraph` is the command `sdgraph`."""

from .cli import main

if __name__ == "__main__":
    main()
