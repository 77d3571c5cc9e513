// web-push: a notification to a subscription, signed with a VAPID key.
const { given, library, answer, lead } = require("./given.js");

lead(given.lead);
const webpush = library("web-push");

webpush
  .sendNotification(given.subscription, Buffer.from(given.payload, "base64url"), {
    vapidDetails: { subject: "mailto:operator@example.org", publicKey: given.publicKey, privateKey: given.privateKey },
    TTL: 60,
    urgency: "high",
    topic: given.topic,
    contentEncoding: "aes128gcm",
  })
  .then(
    ({ statusCode }) => answer({ status: statusCode }),
    ({ statusCode, body, message }) => answer({ status: statusCode, body: body ?? message }),
  );
