"""HTTP in: pushes from forges, metrics, health."""
