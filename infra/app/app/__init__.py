# Made by `pretamane emit` from model 30de4c7e6b88. Change the stack, not this file.
"""A document-management service: contacts and documents, with full-text search."""

__version__ = "0.1.0"
