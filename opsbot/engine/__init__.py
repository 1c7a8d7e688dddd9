"""Engine: everything a front end may ask, by its parts.

authorization       who may do what, and the audit log of who asked; every part asks it first
queries, status     the status of everything, what happened and why
logs                the lines that services write
releases            deploy, roll back, update, go on at once
services            restart, hold, silence, resume
acknowledgements    incidents that somebody takes
cards               what cards show beside their deployment or incident
outbox, board       what the writers of the ops channel send, and what became of it
engine              the parts together, and what opsbot says by itself
"""

from opsbot.engine.engine import Engine, Measurements

__all__ = ["Engine", "Measurements"]
