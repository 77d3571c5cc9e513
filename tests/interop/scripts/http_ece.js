// http_ece: open, or make, a Web Push body (RFC 8291) as a browser's or a sender's library does.
const { createECDH, randomBytes } = require("node:crypto");
const { given, library, answer } = require("./given.js");

const ece = library("http_ece");
const key = createECDH("prime256v1");
key.setPrivateKey(Buffer.from(given.scalar, "base64url"));

function open() {
  const params = { version: "aes128gcm", privateKey: key, authSecret: given.auth };
  return { plaintext: ece.decrypt(Buffer.from(given.body, "base64url"), params).toString("base64url") };
}

function seal() {
  const params = { version: "aes128gcm", privateKey: key, dh: given.p256dh, authSecret: given.auth };
  return { body: ece.encrypt(Buffer.from(given.plaintext, "base64url"), params).toString("base64url") };
}

try {
  answer({ open, seal }[given.work]());
} catch (error) {
  answer({ error: String(error) });
}
