"""The node library, imported as `sdgraph.nodes`."""

if __name__ != "sdgraph.nodes":
    # Under two names every node class would exist twice.
    raise ImportError("import these nodes as sdgraph.nodes")

__all__: list[str] = []
