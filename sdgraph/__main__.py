"""The program `sdgraph`, which is also `python -m sdgraph`."""

import sys

from .cli.help_texts import print_help


def main() -> None:
    """Runs the command line; Ctrl-C ends it quietly also while it is being imported."""
    try:
        if print_help(sys.argv[1:]):
            return
        from .cli import main as run_command_line

        run_command_line()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
