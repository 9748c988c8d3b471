"""Tests of the tiny world and of its judge."""
