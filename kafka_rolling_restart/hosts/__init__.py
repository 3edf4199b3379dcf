"""What is done and looked for on a broker's host. Only its folder ssh knows paramiko."""
