"""The decisions and the steps of a rolling restart."""
