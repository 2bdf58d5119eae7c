# Made by `pretamane emit` from model 6826de63cc5a. Change the stack, not this file.
"""A document-management service: contacts and documents, with full-text search."""

__version__ = "0.1.0"
