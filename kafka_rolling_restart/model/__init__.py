"""Plain frozen values that all the others speak in."""
