// http-message-sig: verify a message that Hushpost signed, or sign one that Hushpost verifies.
const { webcrypto, createPublicKey, createPrivateKey } = require("node:crypto");
const { given, library, answer } = require("./given.js");

const { component, createSignature, verifySignature, webcrypto: providers } = library("http-message-sig");
const lines = (fields) => Object.entries(fields).map(([name, value]) => ({ name, value }));

function descriptor({ method, targetUri, status, headers, request }) {
  if (status === undefined) return { kind: "request", method, targetUri, fields: lines(headers) };
  return { kind: "response", status, fields: lines(headers), request: descriptor(request) };
}

// `"signature";req;key="hushpost"` as the library's own notation.
function named(text) {
  const [name, ...rest] = text.split(";");
  const parameters = Object.fromEntries(rest.map((one) => one.split("=")).map(([key, value]) => [key, value === undefined ? true : value.slice(1, -1)]));
  return component(name.slice(1, -1), parameters);
}

const imported = (jwk, usage) => webcrypto.subtle.importKey("jwk", jwk, { name: "Ed25519" }, false, [usage]);

async function verify() {
  const verifier = providers.verifier(await imported(given.jwk, "verify"));
  const verified = await verifySignature(descriptor(given.message), {
    policy: {
      algorithms: ["ed25519"],
      requiredComponents: given.components.map(named),
      requiredParameters: ["created", "expires", "keyid", "alg", "tag"],
      maxAge: 60,
      now: given.now,
    },
    resolveVerifier: () => verifier,
  });
  return { label: verified.label, parameters: verified.parameters };
}

async function sign() {
  const signer = providers.signer(await imported(given.jwk, "sign"));
  return createSignature(descriptor(given.message), {
    label: "hushpost",
    components: given.components.map(named),
    parameters: given.parameters,
    signer,
  });
}

const work = { sign, verify }[given.work];
work().then(answer, (error) => answer({ error: error.code ?? String(error) }));
