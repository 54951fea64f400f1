"""Bases, adapters, and the tuned model that answers."""
