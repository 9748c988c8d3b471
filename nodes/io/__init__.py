"""Nodes that load and save images and videos."""
