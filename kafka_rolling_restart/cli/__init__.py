"""What the person gives: the command line and configuration files in, ready-made parts out. Only
main imports it."""
