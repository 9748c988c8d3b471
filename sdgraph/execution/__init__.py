"""Plans of graphs, and the sessions that run them."""

from .plan_data import Plan, Step
from .session import Session, default_session, plan, run

__all__ = ["Plan", "Session", "Step", "default_session", "plan", "run"]
