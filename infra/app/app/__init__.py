<<<<<<< HEAD
# Made by `pretamane emit` from model 86515157af92. Change the stack, not this file.
=======
# Made by `pretamane emit` from model 30de4c7e6b88. Change the stack, not this file.
>>>>>>> origin/main
"""A document-management service: contacts and documents, with full-text search."""

__version__ = "0.1.0"
