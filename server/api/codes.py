"""Every code that a problem document may have, with its status and what it means to whoever gets it."""

from http import HTTPStatus

CODES: dict[HTTPStatus, dict[str, str]] = {
    HTTPStatus.BAD_REQUEST: {
        "invalid": "Something in the request is wrong; `errors` names every fault, with the reason and what would be right.",
        "bad_json": "The body is not JSON; the detail says at which line and column.",
        "bad_form": "The body is not a form of its `Content-Type`; the detail says why.",
        "bad_request": "The request is no HTTP that this server reads.",
        "bucket_required": "This credential may send to more than one bucket, and the request names none.",
        "digest_mismatch": "`Content-Digest` is not the digest of the body.",
        "scope_wider": "A token can only lose scopes; make another one.",
    },
    HTTPStatus.UNAUTHORIZED: {
        "unauthenticated": "The request has no credential: send one header `Authorization: Bearer <token>`.",
        "credentials_invalid": "The email address, the username or the password is wrong.",
        "token_invalid": "The token is unknown, deleted, expired or of another kind.",
        "token_expired": "The access token of the session has expired; refresh it.",
        "session_ended": "The session was ended, or its refresh token was used a second time; sign in again.",
        "device_token_invalid": "No device has this token; pair it again.",
    },
    HTTPStatus.FORBIDDEN: {
        "forbidden": "The caller may not do this.",
        "acting_forbidden": "`X-User-ID` and `X-Tenant-ID` are not honoured for this credential.",
        "bucket_forbidden": "The caller's permissions in this bucket are not enough for that.",
        "origin_forbidden": "Pages of this origin may not connect; the operator lists those that may.",
        "owner_only": "The bucket is protected: only its owner may change it.",
        "first_account_code_invalid": "That is not the code in the server's log.",
        "first_account_code_required": "The first account needs the code that the server's log shows.",
        "invitation_invalid": "The invitation's code is wrong, used or expired; ask for another one.",
        "no_session": "An access token has no session that could be ended.",
        "pairing_code_invalid": "The pairing code is wrong, used or expired; make a new one.",
        "password_wrong": "That is not the account's current password.",
        "registration_closed": "Nobody can register here; ask the operator for an account.",
        "registration_invite": "Registration is by invitation: the request needs the code of one.",
        "scope_forbidden": "Only an admin can make a token with this scope.",
        "scope_missing": "The credential's scopes, or the account's role, are not enough for this.",
    },
    HTTPStatus.NOT_FOUND: {
        "action_not_found": "The message has no such action.",
        "not_found": "It does not exist, or not for this caller: the two look the same.",
        "attachment_lost": "The file is not on the server's disk any more.",
        "attachment_not_found": "The caller has no such attachment.",
        "member_not_found": "The bucket has no such member.",
        "notification_not_found": "The caller has no such notification.",
        "bucket_not_found": "The caller has no such bucket.",
        "claim_not_found": "The device has no such claim.",
        "invitation_not_found": "The caller has made no such invitation.",
        "message_not_found": "There is no such message, or not for this caller.",
        "session_not_found": "The caller has no such session.",
        "user_not_found": "`errors` names the users that nobody has.",
    },
    HTTPStatus.METHOD_NOT_ALLOWED: {
        "method_not_allowed": "This path takes other methods: see the `Allow` header.",
    },
    HTTPStatus.REQUEST_TIMEOUT: {
        "body_timeout": "The body did not come to its end in time.",
    },
    HTTPStatus.CONFLICT: {
        "action_is_device": "This action is run on the device, not by the server.",
        "conflict": "What this refers to was changed or deleted meanwhile.",
        "bucket_ambiguous": "More than one bucket has this name; give the id.",
        "bucket_default": "Everybody has a bucket of this name: it is neither renamed nor deleted.",
        "bucket_exists": "The bucket's owner has another one of this name.",
        "bucket_owner": "The owner of a bucket has every permission in it and never leaves.",
        "bucket_protected": "The bucket is protected; end that before you delete it.",
        "attachment_in_use": "A message names this file: take that back first.",
        "already_sent": "The message was sent already, and cannot be rescheduled.",
        "member_exists": "This user is a member of the bucket.",
        "message_ends_before": "The message ends before the time that was asked for.",
        "email_taken": "Another account has this email address.",
        "username_taken": "Another account has this username.",
        "external_id_taken": "Another user has this external id.",
        "idempotency_key_in_flight": "The same request is being carried out; its answer is there after `Retry-After` seconds.",
        "own_role": "Admins do not take that role from themselves; another one can.",
        "idempotency_key_reused": "The key was used for another request.",
    },
    HTTPStatus.GONE: {
        "gone": "It existed, and does no longer.",
        "message_retracted": "The message was retracted.",
        "notification_gone": "The notification was deleted, or its message was retracted.",
    },
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {
        "body_too_large": "The body is larger than this path takes.",
        "attachment_too_large": "The file is larger than this server takes.",
        "attachments_full": "The caller's attachments would take more room than one account has; delete some.",
    },
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: {
        "media_type_unsupported": "The body's `Content-Type` is not one that this path reads.",
        "encoding_unsupported": "The body has a `Content-Encoding`; send it without.",
    },
    HTTPStatus.UPGRADE_REQUIRED: {
        "upgrade_required": "This path speaks WebSocket: see the `Upgrade` header.",
    },
    HTTPStatus.TOO_MANY_REQUESTS: {
        "limited": "Too many requests; the same one works again after `Retry-After` seconds.",
    },
    HTTPStatus.INTERNAL_SERVER_ERROR: {
        "internal": "The server failed; its log says where.",
    },
    HTTPStatus.SERVICE_UNAVAILABLE: {
        "unavailable": "Not now: the database, the relay or something else that is needed is away; try again after `Retry-After` seconds.",
        "not_ready": "A part of the server does not work; the detail names it.",
        "connections_exhausted": "Too many live connections; try again after `Retry-After` seconds.",
        "storage_unavailable": "The server cannot keep the file now; try again after `Retry-After` seconds.",
    },
}

STATUS_OF: dict[str, HTTPStatus] = {code: status for status, codes in CODES.items() for code in codes}
