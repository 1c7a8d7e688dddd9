"""Notifications: text rendering, and delivery by the `apprise` package in child processes."""
