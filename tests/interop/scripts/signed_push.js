// A server that is not ours: http-message-sig signs a request to a relay, and verifies its answer; Node sends it.
const { request } = require("node:http");
const { createHash, randomBytes, webcrypto } = require("node:crypto");
const { given, library, answer } = require("./given.js");

const { component, createSignature, verifySignature, webcrypto: providers } = library("http-message-sig");
const imported = (jwk, usage) => webcrypto.subtle.importKey("jwk", jwk, { name: "Ed25519" }, false, [usage]);
const digest = (body) => `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
const lines = (raw) => raw.flatMap((name, at) => (at % 2 ? [] : [{ name, value: raw[at + 1] }]));

function send(method, headers, body) {
  return new Promise((done, fail) => {
    const asked = request(`${given.reach}/v1/push`, { method, headers }, (message) => {
      const pieces = [];
      message.on("data", (piece) => pieces.push(piece));
      message.on("end", () => done({ status: message.statusCode, fields: lines(message.rawHeaders), body: Buffer.concat(pieces).toString() }));
    });
    asked.on("error", fail);
    asked.end(body);
  });
}

async function main() {
  const created = Math.floor(Date.now() / 1000);
  const headers = { "Content-Type": "application/json", "Content-Digest": digest(given.body), "Hushpost-Key": given.server.x };
  const descriptor = () => ({
    kind: "request",
    method: "POST",
    targetUri: `${given.url}/v1/push`,
    fields: Object.entries(headers).map(([name, value]) => ({ name, value })),
  });
  const signed = await createSignature(descriptor(), {
    label: "hushpost",
    components: ["@method", "@target-uri", "content-type", "content-digest"],
    parameters: {
      created,
      expires: created + 60,
      nonce: randomBytes(16).toString("base64url"),
      keyid: given.keyid,
      alg: "ed25519",
      tag: "hushpost-push",
    },
    signer: providers.signer(await imported(given.server, "sign")),
  });
  headers["Signature-Input"] = signed.signatureInput;
  headers["Signature"] = signed.signature;
  const { status, fields, body } = await send("POST", headers, given.body);
  const req = { req: true };
  const components = [
    "@status", "content-type", "content-digest", component("@method", req), component("@target-uri", req),
    component("content-digest", req), component("signature", { req: true, key: "hushpost" }),
  ];
  const verified = await verifySignature(
    { kind: "response", status, fields, request: descriptor() },
    {
      policy: { algorithms: ["ed25519"], requiredComponents: components, requiredParameters: ["created", "expires", "keyid", "alg", "tag"], maxAge: 60, clockSkew: 5 },
      resolveVerifier: async () => providers.verifier(await imported(given.relay, "verify")),
    },
  );
  const said = fields.find(({ name }) => name.toLowerCase() === "content-digest").value;
  await answer({ status, body: JSON.parse(body), tag: verified.parameters.tag, whole: said === digest(body) });
}

main().catch((error) => answer({ error: String(error.code ?? error) }));
