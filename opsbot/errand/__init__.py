"""What runs as the service's own user: the far end of an errand unit, and what such a unit may be asked to run.

Standard library only, and little of it: it is imported anew for every check and install step.
"""
