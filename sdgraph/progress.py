"""The type of the callback with which a node reports its progress."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """The callback with which a node reports its progress.

    A node whose `run` has a parameter `progress` gets one and calls it after each step. The
    callback may raise an exception, which ends the node's `run`.
    """

    def __call__(
        self, step: int, total: int, /, *, loss: float | None = None, note: str | None = None
    ) -> None:
        """Reports that a step is finished.

        Args:
            step: The number of finished steps, from 1.
            total: The number of all steps.
            loss: The recent loss, if the node trains.
            note: A line of text for the user.
        """
