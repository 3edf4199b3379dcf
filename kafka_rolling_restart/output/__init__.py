"""What a person, cron and other programs are told."""
