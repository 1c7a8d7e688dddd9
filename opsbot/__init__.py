"""opsbot: deploys, watches, recovers and rolls back the services beside it, from a Discord channel."""

__version__ = "0.1.0"
