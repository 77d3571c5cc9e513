// firebase-admin for Node: sendEach, which is HTTP/2, and send by HTTP/1.1.
const { readFileSync } = require("node:fs");
const { given, library, answer, lead } = require("./given.js");

lead(given.lead);
const { cert, deleteApp, initializeApp } = library("firebase-admin/app");
const { getMessaging } = library("firebase-admin/messaging");

const app = initializeApp({ credential: cert(JSON.parse(readFileSync(given.serviceAccountFile, "utf8"))) });
const messaging = getMessaging(app);
if (given.legacy) messaging.enableLegacyHttpTransport();
const messages = given.tokens.map((token) => ({
  token,
  data: { hp: given.envelope },
  android: { priority: "high", ttl: 60_000, collapseKey: given.collapse },
}));

messaging.sendEach(messages).then(async ({ responses }) => {
  await answer(responses.map((one) => ({ success: one.success, messageId: one.messageId, error: one.error?.code })));
  await deleteApp(app);
  process.exit(0);
});
