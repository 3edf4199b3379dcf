"""The critical section of one broker: stop it, prove that it is gone, start it, prove that it is
back."""
