"""What any long-running process needs: scheduler, background tasks, signals, sd_notify, locks, memory."""
