"""What `jobtide worker` and `jobtide cron` start: settings, the application, the parts of the process."""
