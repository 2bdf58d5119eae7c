# Made by `pretamane emit` from model c66efaf1f136. Change the stack, not this file.
"""A document-management service: contacts and documents, with full-text search."""

__version__ = "0.1.0"
