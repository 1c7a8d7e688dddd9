"""What the host tells of itself beside CPU and memory: file systems, the kernel's own figures, certificates, users."""
