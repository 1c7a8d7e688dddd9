"""The daemon: wiring, startup and shutdown, reload, watchdog, periodic jobs."""
