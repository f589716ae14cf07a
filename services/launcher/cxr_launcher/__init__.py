"""Starts all services on one machine under one supervisor: what `make run` runs."""
