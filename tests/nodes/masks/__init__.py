"""Tests of `sdgraph.nodes.masks`."""
