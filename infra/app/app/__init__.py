# Made by `pretamane emit` from model c7427d8c0ffb. Change the stack, not this file.
"""A document-management service: contacts and documents, with full-text search."""

__version__ = "0.1.0"
