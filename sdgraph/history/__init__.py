"""Records of past runs: written while a run goes on, listed, summed up and drawn."""

from .reader import history, past_run
from .recorder import place, recording
from .timeline import listing_row

__all__ = ["history", "listing_row", "past_run", "place", "recording"]
