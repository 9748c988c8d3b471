"""How a node says how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Reports the progress of a node; passed to `run` if that has a parameter `progress`.

    It may raise an exception, which stops the node.
    """

    def __call__(
        self, step: int, total: int, /, *, loss: float | None = None, note: str | None = None
    ) -> None:
        """Reports a finished step.

        Args:
            step: The number of finished steps, from 1.
            total: The number of all steps.
            loss: The recent loss, if the node trains.
            note: A line of text for the user.
        """
