# Made by `pretamane emit` from model 9d2e7b6f4459. Change the stack, not this file.
"""A document-management service: contacts and documents, with full-text search."""

__version__ = "0.1.0"
