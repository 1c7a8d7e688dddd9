"""A service's repository: what its branch points to and a commit contains."""
