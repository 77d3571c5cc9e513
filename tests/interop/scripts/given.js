// What every script begins with: the test's JSON from standard input, and the libraries from where they were installed.
const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const given = JSON.parse(readFileSync(0, "utf8"));
const library = createRequire(join(given.packages, "index.js"));
const answer = (value) => new Promise((done) => process.stdout.write(JSON.stringify(value), done));

// Lead connections for some names elsewhere, below the library: it resolves and verifies as it always does.
function lead(names) {
  const tls = require("node:tls");
  const connect = tls.connect;
  tls.connect = (...args) => {
    const [options, ...rest] =
      typeof args[0] === "object" ? args : [{ ...args[2], port: args[0], host: args[1] }, ...args.slice(3)];
    const name = options.servername || options.host;
    const to = names[name];
    if (to === undefined) return connect(options, ...rest);
    const [host, port] = to.split(":");
    return connect({ ...options, host, port: Number(port), servername: name }, ...rest);
  };
}

module.exports = { given, library, answer, lead };
