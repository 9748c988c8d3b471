"""Workflows that train, and the command that rebuilds every shipped checkpoint."""
