"""Figures of the host: file systems, kernel, certificates, clock, processes."""
