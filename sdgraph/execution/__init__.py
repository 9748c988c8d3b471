"""Plans of graphs, and the sessions that run them."""

from .entry_points import plan, run
from .plan_data import Plan, Step
from .session import Session, default_session

__all__ = ["Plan", "Session", "Step", "default_session", "plan", "run"]
