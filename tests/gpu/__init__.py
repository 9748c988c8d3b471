"""Checks on a real card, in one script: `python -m tests.gpu`."""
