"""Other notifiers beside Discord, through the `apprise` package, which is imported in child processes only."""
