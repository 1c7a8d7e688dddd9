"""HTTP endpoint: webhooks of forges, metrics, health."""
