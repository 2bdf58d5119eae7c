# Made by `pretamane emit` from model 5c4c297d7750. Change the stack, not this file.
"""A document-management service: contacts and documents, with full-text search."""

__version__ = "0.1.0"
