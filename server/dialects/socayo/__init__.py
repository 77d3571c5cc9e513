"""Socayo's notification API: 42 RPCs, `POST` with a JSON object in and one out (docs/apis/socayo.md)."""
