"""Requests and answers as the quick start shows them, for the reference: by method and path."""

from collections.abc import Mapping
from typing import Any

_BUCKET = "0197c5a4-6a00-7c3e-9d1b-5f0a8e2d7b11"
_TOKEN = "0197c5a4-7b10-7d55-8a42-1c9e3f6b0d22"  # noqa: S105 - a token's id
_MESSAGE = "0197c5a4-8c20-7e66-b753-2dae407c1e33"
_USER = "0197c5a4-5900-7b2d-8c0a-4e9f7d1c6a00"

REQUESTS: Mapping[str, Any] = {
    "POST /api/v1/auth/login": {"email": "user@example.com", "password": "your_password"},
    "POST /api/v1/auth/register": {
        "email": "user@example.com",
        "username": "user",
        "password": "your_password",
    },
    "POST /api/v1/buckets": {"name": "Marketing", "description": "Marketing campaign bucket"},
    "POST /api/v1/access-tokens": {"name": "CI Pipeline", "scopes": ["messages:create"]},
    "POST /api/v1/messages": {"title": "Welcome!", "bucketId": _BUCKET, "deliveryType": "NORMAL"},
}

ANSWERS: Mapping[str, Any] = {
    "POST /api/v1/auth/login": {
        "accessToken": "<jwt-access-token>",
        "refreshToken": "<jwt-refresh-token>",
        "tokenType": "Bearer",
        "expiresIn": 900,
        "user": {
            "id": _USER,
            "email": "user@example.com",
            "username": "user",
            "externalId": _USER,
            "role": "USER",
            "firstName": None,
            "lastName": None,
            "phone": None,
            "locale": None,
            "timezone": None,
            "createdAt": "2025-01-01T00:00:00.000Z",
        },
    },
    "POST /api/v1/access-tokens": {
        "id": _TOKEN,
        "name": "CI Pipeline",
        "scopes": ["messages:create"],
        "createdAt": "2025-01-01T00:00:00.000Z",
        "expiresAt": None,
        "lastUsedAt": None,
        "token": "zat_<raw-token>",
    },
    "POST /api/v1/buckets": {
        "id": _BUCKET,
        "name": "Marketing",
        "description": "Marketing campaign bucket",
        "icon": None,
        "color": None,
        "protected": False,
        "public": False,
        "ownerId": _USER,
        "permissions": ["READ", "WRITE", "DELETE", "ADMIN"],
        "createdAt": "2025-01-01T00:00:00.000Z",
    },
    "POST /api/v1/messages": {
        "id": _MESSAGE,
        "title": "Order Confirmed",
        "bucketId": _BUCKET,
        "createdAt": "2025-01-01T12:00:00.000Z",
    },
}
