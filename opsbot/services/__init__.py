"""The one port, `ServiceManager`, and the real parts behind it."""
