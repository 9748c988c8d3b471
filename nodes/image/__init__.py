"""Nodes that resize, combine, compare and label images."""
