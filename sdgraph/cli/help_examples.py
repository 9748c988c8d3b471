"""An example for the help of each command, and a list of commands that is not cut."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

EXAMPLES = {
    "sdgraph": "sdgraph run inpaint",
    "sdgraph cache": "sdgraph cache --json",
    "sdgraph cache clear": "sdgraph cache clear",
    "sdgraph cache prune": "sdgraph cache prune --to 1GB",
    "sdgraph diff": "sdgraph diff out/a.png out/b.png",
    "sdgraph doctor": "sdgraph doctor",
    "sdgraph models": "sdgraph models --json",
    "sdgraph models check": "sdgraph models check",
    "sdgraph models fetch": "sdgraph models fetch stabilityai/sdxl-turbo --variant fp16",
    "sdgraph models remove": "sdgraph models remove stabilityai/sdxl-turbo",
    "sdgraph new": "sdgraph new mine.yaml inpaint",
    "sdgraph nodes": "sdgraph nodes Canny",
    "sdgraph plan": "sdgraph plan reference/inpaint --vram 8GB",
    "sdgraph run": 'sdgraph run inpaint seed=7 "prompt=a purple star"',
    "sdgraph runs": "sdgraph runs --json",
    "sdgraph runs show": "sdgraph runs show last --html run.html",
    "sdgraph schema": "sdgraph schema > sdgraph.schema.json",
    "sdgraph show": "sdgraph show out/inpaint.png",
    "sdgraph validate": "sdgraph validate mine.yaml seed=7",
    "sdgraph workflows": "sdgraph workflows inpaint",
}
"""A command line for each command and group, by its full name."""


class ExampleInHelp(TyperCommand):
    """A command whose help ends with an example."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Writes the example."""
        _write_example(ctx, formatter)


class GroupExampleInHelp(TyperGroup):
    """A group of commands with an example, and with whole sentences about its commands."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Writes the example."""
        _write_example(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the commands, each with the whole first sentence of its help."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, summary(command.help or "")))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def summary(text: str) -> str:
    """The first paragraph of a command's help, in one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _write_example(ctx: Any, formatter: Any) -> None:
    example = EXAMPLES.get(ctx.command_path)
    if example is not None:
        with formatter.section("Example"):
            formatter.write_text(example)
