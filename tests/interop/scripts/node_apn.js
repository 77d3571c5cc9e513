// @parse/node-apn: one notification to each of some device tokens.
const { readFileSync } = require("node:fs");
const { given, library, answer } = require("./given.js");

const apn = library("@parse/node-apn");
const provider = new apn.Provider({
  token: { key: given.keyFile, keyId: given.keyId, teamId: given.teamId },
  address: given.host,
  port: given.port,
  ca: readFileSync(given.caFile),
  production: true,
});
const notification = new apn.Notification({
  topic: given.topic,
  id: given.id,
  alert: { "loc-key": "HP_NEW_MESSAGE" },
  mutableContent: true,
  priority: 10,
  pushType: "alert",
  payload: { hp: given.envelope },
});

provider.send(notification, given.tokens).then(async ({ sent, failed }) => {
  await answer({
    sent: sent.map((one) => one.device),
    failed: failed.map((one) => ({ device: one.device, status: one.status, reason: one.response?.reason, error: one.error && String(one.error) })),
  });
  await provider.shutdown();
});
