"""A service's repository: what its branch points to, what a commit holds, and the poll."""
