"""Toy nodes: numbers, texts, pictures, files, failures, models; the engine is tested with these."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from sdgraph.errors import CheckpointError, Problem
from sdgraph.graph import In, Node, Registry, SourceFile, TargetFile, refuse
from sdgraph.values import Checkpoint, EdgeMap, Image, Mask, Part

if TYPE_CHECKING:
    from sdgraph.models import Models

ran: list[str] = []
"""The type of every toy that ran, in order; tests clear it."""


class Number(Node[int]):
    """A whole number."""

    value: int = 0

    def run(self) -> int:
        ran.append("Number")
        return self.value


class Real(Node[float]):
    """A number."""

    value: float = 0.0

    def run(self) -> float:
        return self.value


class Flag(Node[bool]):
    """True or false."""

    value: bool = False

    def run(self) -> bool:
        return self.value


class Add(Node[int]):
    """The sum of two numbers and an offset."""

    a: In[int]
    b: In[int] = 0
    offset: int = Field(default=0, ge=-1000, le=1000)

    def run(self, a: int, b: int) -> int:
        ran.append("Add")
        return a + b + self.offset


class Halve(Node[int]):
    """Half of a number, rounded down: two numbers may have one half."""

    a: In[int]

    def run(self, a: int) -> int:
        ran.append("Halve")
        return a // 2


class Sum(Node[int]):
    """The sum of many numbers."""

    terms: list[In[int]] = Field(min_length=1)

    def run(self, terms: tuple[int, ...]) -> int:
        ran.append("Sum")
        return sum(terms)


class Scale(Node[float]):
    """A number times another."""

    number: In[float]
    by: float = 1.0

    def run(self, number: float) -> float:
        return number * self.by


class Text(Node[str]):
    """A text."""

    text: str = ""
    tags: list[str] = Field(default=[])

    def run(self) -> str:
        ran.append("Text")
        return self.text + "".join(self.tags)


class Join(Node[str]):
    """Texts joined."""

    words: list[In[str]] = Field(default=[])
    glue: str = " "
    style: Literal["plain", "loud"] = "plain"

    def run(self, words: tuple[str, ...]) -> str:
        ran.append("Join")
        text = self.glue.join(words)
        return text.upper() if self.style == "loud" else text


class Square(Node[Image]):
    """A grey square."""

    size: int = Field(default=4, ge=1, le=64)
    grey: int = Field(default=0, ge=0, le=255)

    def run(self) -> Image:
        ran.append("Square")
        return Image(np.full((self.size, self.size, 3), self.grey, np.uint8))


class Hole(Node[Mask]):
    """A mask that marks everything."""

    size: int = 4

    def run(self) -> Mask:
        return Mask(np.full((self.size, self.size), 255, np.uint8))


class Edges(Node[EdgeMap]):
    """A picture's negative, called edges."""

    image: In[Image]
    low: int = Field(default=100, ge=0, le=255, description="below this there is no edge")

    def run(self, image: Image) -> EdgeMap:
        ran.append("Edges")
        return EdgeMap(255 - image.numpy)


class Pair(Node[int]):
    """A node whose two fields must fit together."""

    low: int = 0
    high: int = 10

    @model_validator(mode="after")
    def _ordered(self) -> Pair:
        if self.low > self.high:
            values_found = f"{self.low} above {self.high}"
            raise refuse("low", found=values_found, wanted="at most high", fix="swap the two")
        return self

    def run(self) -> int:
        return self.high - self.low


class Read(Node[str]):
    """The text in a file."""

    path: SourceFile

    def run(self) -> str:
        ran.append("Read")
        return Path(self.path).read_text()


class Write(Node[Path]):
    """A text, in a file."""

    effect = True

    text: In[str]
    path: TargetFile

    def run(self, text: str) -> Path:
        ran.append("Write")
        path = Path(self.path)
        path.write_text(text)
        return path


class Fail(Node[int]):
    """A node that raises."""

    a: In[int] = 0
    message: str = "as asked"

    def run(self, a: int) -> int:
        ran.append("Fail")
        raise RuntimeError(self.message)


class Wrong(Node[int]):
    """A node that returns another kind than it declares."""

    def run(self) -> int:
        broken: Any = "not a number"
        return broken  # type: ignore[no-any-return]


class Checked(Node[int]):
    """A node whose own check finds a problem, or raises."""

    good: bool = True
    damaged: bool = False

    def check(self) -> Iterator[Problem]:
        if self.damaged:
            raise CheckpointError("the checkpoint is damaged")
        if not self.good:
            yield Problem("good", "false", "true")

    def run(self) -> int:
        return 1


gates: dict[str, threading.Event] = {}
"""Events by name: a Wait sets `opens` and then waits for `awaits`."""


def _pass(opens: str, awaits: str) -> None:
    if opens:
        gates.setdefault(opens, threading.Event()).set()
    if awaits and not gates.setdefault(awaits, threading.Event()).wait(timeout=20):
        raise TimeoutError(f"nobody opened {awaits}")


class Wait(Node[int]):
    """A light node that waits for others at gates."""

    a: In[int] = 0
    opens: str = ""
    awaits: str = ""

    def run(self, a: int) -> int:
        _pass(self.opens, self.awaits)
        return a


class Dream(Node[str]):
    """A node with a model; its text names the modules it was lent."""

    prompt: In[str] = ""
    checkpoint: In[Checkpoint]
    steps: int = 1
    opens: str = ""
    awaits: str = ""

    def parts(self) -> Mapping[str, Part]:
        assert isinstance(self.checkpoint, Checkpoint)
        return {"unet": Part(self.checkpoint, "unet"), "vae": Part(self.checkpoint, "vae")}

    def run(
        self,
        prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Callable[[int, int], None],
    ) -> str:
        ran.append("Dream")
        _pass(self.opens, self.awaits)
        for step in range(self.steps):
            progress(step + 1, self.steps)
        return f"{prompt} by {models['unet'].name} and {models['vae'].name} of {checkpoint.source}"


class Train(Node[Checkpoint]):
    """A checkpoint that is known only once this has run."""

    source: str

    def run(self) -> Checkpoint:
        ran.append("Train")
        return Checkpoint(self.source)


TYPES: tuple[type[Node[Any]], ...] = (
    Number,
    Real,
    Flag,
    Add,
    Halve,
    Sum,
    Scale,
    Text,
    Join,
    Square,
    Hole,
    Edges,
    Pair,
    Read,
    Write,
    Fail,
    Wrong,
    Checked,
    Wait,
    Dream,
    Train,
)

REGISTRY = Registry({cls.__name__: cls for cls in TYPES})
