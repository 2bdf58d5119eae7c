"""A document-management service: contacts and documents, with full-text search."""

__version__ = "0.1.0"
