"""Line charts as PNG, drawn with nothing but zlib: a library that draws would cost 15 MB for one picture a month."""

from opsbot.chart.memory import ChartMark, Memory, memory_chart

__all__ = ["ChartMark", "Memory", "memory_chart"]
