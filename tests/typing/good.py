"""What a type checker must accept; `tests/test_typing.py` runs mypy on it."""

from typing import Any, assert_type

from sdgraph import run
from sdgraph.graph import Node
from sdgraph.values import Checkpoint, EdgeMap, Image
from tests.support.toys import Add, Dream, Edges, Number, Scale, Square, Sum, Train

photo = Square(size=4)
edges = Edges(image=photo, low=10)
assert_type(edges.run(Square().run()), EdgeMap)
assert_type(run(photo), Image)
assert_type(run(edges), EdgeMap)
assert_type(run(Add(a=1, b=Number(value=2))), int)
assert_type(run(photo, edges), tuple[Any, ...])

wider: Node[Image] = edges
again = Edges(image=edges)
total = Sum(terms=[1, Number(value=2), Add(a=1)])
scaled = Scale(number=Number(value=1))
dream = Dream(checkpoint=Train(source="x"))
other = Dream(checkpoint=Checkpoint("x"))
changed: Edges = edges.replace(low=3)
