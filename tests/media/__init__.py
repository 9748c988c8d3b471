"""Tests of `sdgraph.media`."""
