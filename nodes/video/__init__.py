"""Nodes that split videos into frames and join frames to videos."""
