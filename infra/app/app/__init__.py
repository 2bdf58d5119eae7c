# Made by `pretamane emit` from model 7ce39d15c6ea. Change the stack, not this file.
"""A document-management service: contacts and documents, with full-text search."""

__version__ = "0.1.0"
