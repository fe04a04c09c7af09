"""Schedules: cron expressions, and the jobs that they enqueue ahead of time."""
