"""What the commits of the demo change."""

GREETING = "Hello from the first commit"
HEALTH_STATUS = 200
DIES_AFTER = 0.0
