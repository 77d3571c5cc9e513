"""Aptly's API: notifications that are made from templates, and the inboxes that hold them."""
