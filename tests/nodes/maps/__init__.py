"""Tests of `sdgraph.nodes.maps`."""
