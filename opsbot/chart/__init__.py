"""Line charts as PNG, drawn with zlib only to save 15 MB of memory."""

from opsbot.chart.memory import ChartMark, Memory, memory_chart

__all__ = ["ChartMark", "Memory", "memory_chart"]
