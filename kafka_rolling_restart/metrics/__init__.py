"""What a broker's metrics say. Only this folder knows JMXProxy and requests."""
