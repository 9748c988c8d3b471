"""The program `sdgraph`, which is also `python -m sdgraph`."""

import gc
import sys

from .cli.help_texts import print_help


def main() -> None:
    """Runs the command line; Ctrl-C ends it quietly also while it is being imported."""
    try:
        if _print_help():
            return
        _run_command_line()
    except KeyboardInterrupt:
        sys.exit(130)


def _run_command_line() -> None:
    """Runs a command, with little time for garbage: it is a tenth of a short command's."""
    gc.set_threshold(50_000)
    from .cli import main as run_command_line

    try:
        run_command_line()
    finally:
        gc.freeze()  # Python would look through all objects for garbage when it ends


def _print_help() -> bool:
    """Prints the stored help, if that is wanted; ends the program if it cannot be written."""
    try:
        return print_help(sys.argv[1:])
    except OSError as error:
        from .cli.exit_codes import exit_with

        exit_with(error)


if __name__ == "__main__":
    main()
