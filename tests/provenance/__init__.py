"""Tests of `sdgraph.provenance`."""
