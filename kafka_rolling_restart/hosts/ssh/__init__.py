"""SSH as OpenSSH would do it, by its configuration. Nothing else imports paramiko."""
