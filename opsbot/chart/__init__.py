"""Line charts as PNG, drawn with zlib only, because a graphics library would use 15 MB of memory."""

from opsbot.chart.memory import ChartMark, Memory, memory_chart

__all__ = ["ChartMark", "Memory", "memory_chart"]
