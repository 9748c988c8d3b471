"""What the command line says about commands and options that it does not have."""

from __future__ import annotations

from typing import Any

from sdgraph.errors import nearest

from .command_modules import COMMAND_MODULES
from .help_examples import ExampleInHelp, GroupExampleInHelp
from .parameters import convert_at_need


class CommandWithAdvice(ExampleInHelp):
    """A command that, for an option which it does not have, proposes what to write instead."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for parameter in self.params:
            convert_at_need(parameter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As in click, but with a fix in the error of an unknown option."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # Known by its name: typer has click inside it, or next to it in older versions.
            if type(error).__name__ == "NoSuchOption":
                self._add_advice(error)
            raise

    def _add_advice(self, error: Any) -> None:
        options = [option for parameter in self.params for option in parameter.opts]
        takes_inputs = any("INPUT=VALUE" in str(parameter.metavar) for parameter in self.params)
        advice = advice_on_option(error.option_name, options, takes_inputs=takes_inputs)
        error.message += f"; {advice}" if advice else ""
        error.possibilities = None


class GroupWithAdvice(GroupExampleInHelp):
    """The commands of `sdgraph`; for one that there is not, it says how a workflow is run."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands that are imported, in the order of the help."""
        known = [name for name in COMMAND_MODULES if name in self.commands]
        return [*known, *(name for name in self.commands if name not in COMMAND_MODULES)]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As in click, but with a fix in the error of an unknown command."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            message = getattr(error, "message", "")
            known = any(args[0].lower() in words for words in _COMMANDS.values())
            if message.startswith("No such command") and (known or "Did you" not in message):
                message = message.partition(" Did you mean")[0]
                error.message = f"{message} {advice_on_command(args[0])}"  # type: ignore[attr-defined]
            raise


def advice_on_command(word: str) -> str:
    """What to write in place of a command that does not exist.

    Args:
        word: The command as it was written.

    Example:
        >>> advice_on_command("portrait.yaml")
        'To run a workflow: sdgraph run portrait.yaml'
        >>> advice_on_command("check")
        'Did you mean validate?'
    """
    for command, words in _COMMANDS.items():
        if word.lower() in words:
            return f"Did you mean {command}?"
    return f"To run a workflow: sdgraph run {word[:60]}"


_COMMANDS = {
    "run": ("execute", "exec", "start", "generate", "render", "queue", "prompt"),
    "validate": ("check", "lint", "test", "verify"),
    "nodes": ("list", "ls", "types", "node"),
    "show": ("info", "inspect", "metadata", "view", "describe"),
    "runs": ("history", "log", "logs", "status"),
    "plan": ("dry-run", "explain", "memory"),
}
"""Commands, and what they are called elsewhere."""


def advice_on_option(option: str, options: list[str], *, takes_inputs: bool) -> str:
    """What to write in place of an unknown option; "" if nothing is near.

    Args:
        option: The option as it was written, such as "--gpu".
        options: The options that the command has.
        takes_inputs: Whether the command takes values of a workflow's inputs.

    Example:
        >>> advice_on_option("--gpu", ["--device", "--out"], takes_inputs=True)
        'did you mean --device?'
        >>> advice_on_option("--seed", ["--device", "--out"], takes_inputs=True)
        'an input of the workflow is written without dashes: seed=VALUE'
    """
    name = option.lstrip("-")
    long_options = {known.lstrip("-"): known for known in options if known.startswith("--")}
    near = nearest(option, long_options.values()) or nearest(name, long_options)
    if near is not None and not (takes_inputs and name in _USUAL_INPUTS):
        return f"did you mean {long_options.get(near, near)}?"
    as_input = name.replace("-", "_")
    if takes_inputs and option.startswith("--") and as_input.isidentifier():
        return f"an input of the workflow is written without dashes: {as_input}=VALUE"
    return ""


_USUAL_INPUTS = ("seed", "prompt", "steps", "width", "height", "strength", "guidance", "photo")
"""Inputs that many workflows have, which no option is meant by."""
