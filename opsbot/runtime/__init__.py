"""Parts of a long-running process: scheduler, tasks, signals, locks, memory."""
