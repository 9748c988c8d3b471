"""The memory planner: which weights are in memory when. Pure functions; imports no torch."""

from .planner import (
    UNBOUND,
    Demand,
    Forecast,
    Key,
    Move,
    Residence,
    Resident,
    Room,
    continued,
    excess,
    forecast,
    read_ahead,
    room_for,
)
from .replanner import Itinerary
from .workload import Budgets, Held, Tier

__all__ = [
    "UNBOUND",
    "Budgets",
    "Demand",
    "Forecast",
    "Held",
    "Itinerary",
    "Key",
    "Move",
    "Residence",
    "Resident",
    "Room",
    "Tier",
    "continued",
    "excess",
    "forecast",
    "read_ahead",
    "room_for",
]
