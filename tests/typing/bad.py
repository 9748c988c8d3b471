"""What a type checker must refuse: every line that is marked, and no other."""

from typing import assert_type

from sdgraph import run
from sdgraph.graph import In, Node
from sdgraph.values import EdgeMap, Image, Mask
from tests.support.toys import Add, Edges, Hole, Square, Sum, Text


class Narrow(Node[EdgeMap]):
    """Takes edges only."""

    edges: In[EdgeMap]

    def run(self, edges: EdgeMap) -> EdgeMap:
        return edges


class Liar(Node[Image]):
    """Returns another kind than it declares."""

    def run(self) -> Mask:  # error: override
        raise NotImplementedError


Edges(image=Hole())  # error: a Mask into an Image
Narrow(edges=Square())  # error: any Image into edges
Narrow(edges=Edges(image=Square()))
Edges()  # error: missing field
Edges(image=Square(), lo=3)  # error: unknown field
Edges(image=Square(), low="3")  # error: a text for a number
Add(a=Text(text="1"))  # error: a text's node for a number
Sum(terms=[1, Text(text="1")])  # error: in a list
Edges(image="photo.png")  # error: a path for a picture
wrong: Node[Mask] = Square()  # error: another output
narrower: Node[EdgeMap] = Square()  # error: a wider output
assert_type(run(Square()), Mask)  # error: the value's type
