"""Velt's API: notifications of documents in organizations, for the servers of apps that people work together in."""
