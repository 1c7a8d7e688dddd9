"""Watching: probe, judge, record, act."""

from opsbot.monitoring.service_monitor import ServiceMonitor

__all__ = ["ServiceMonitor"]
