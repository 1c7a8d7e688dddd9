"""The rules: pure values and decisions. Standard library only; no I/O, no clock, no await."""
