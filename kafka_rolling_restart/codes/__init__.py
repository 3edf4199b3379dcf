"""Every code that the program says, and what it means: the one source of --explain and
docs/troubleshooting.rst."""
