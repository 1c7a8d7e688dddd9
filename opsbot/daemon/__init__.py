"""The daemon: wiring, start and stop, reload, watchdog, periodic jobs."""
