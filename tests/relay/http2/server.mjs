// What Node's own HTTP/2 does, as a request's path asks for it. Prints its port. `?...` of a path is ignored.
import { readFileSync } from "node:fs";
import { createSecureServer, constants } from "node:http2";

const leaf = readFileSync(process.argv[2]);
const server = createSecureServer({ key: leaf, cert: leaf, settings: { maxConcurrentStreams: 100 } });
let processed = 0;
const refused = new Set();

const body = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
};

const answers = {
  echo: async (stream, headers) => {
    const got = await body(stream);
    stream.respond({ ":status": 200, "x-topic": headers["topic"], "x-authority": headers[":authority"] });
    stream.end(got);
  },
  status: async (stream, _headers, status) => {
    await body(stream);
    stream.respond({ ":status": Number(status), "retry-after": "7" });
    stream.end(JSON.stringify({ reason: "AsAsked" }));
  },
  empty: async (stream) => {
    await body(stream);
    stream.respond({ ":status": 200, "apns-id": "A-1" }, { endStream: true });
  },
  count: async (stream) => {
    stream.respond({ ":status": 200 });
    stream.end(String(processed));
  },
  interim: async (stream) => {
    stream.additionalHeaders({ ":status": 102 });
    stream.additionalHeaders({ ":status": 103, link: "</x>" });
    await body(stream);
    stream.respond({ ":status": 201 }, { endStream: true });
  },
  trailers: async (stream) => {
    await body(stream);
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ sum: "1" }));
    stream.end("body");
  },
  early: (stream) => {
    stream.respond({ ":status": 413 });
    stream.end("too large");
  },
  reset: (stream, _headers, code) => stream.close(Number(code)),
  refuse: (stream, headers) => {
    if (refused.has(headers[":path"])) return answers.empty(stream);
    refused.add(headers[":path"]);
    processed -= 1;
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
  },
  large: (stream, _headers, size) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 400 });
    stream.end(Buffer.alloc(Number(size), "x"));
  },
  headers: async (stream, _headers, size) => {
    await body(stream);
    stream.respond({ ":status": 200, long: "x".repeat(Number(size)) }, { endStream: true });
  },
  hang: () => {},
  destroy: (stream) => stream.session.destroy(),
  // Node's close is graceful: GOAWAY, and what is open is still answered.
  goaway: async (stream) => {
    stream.session.close();
    await body(stream);
    stream.respond({ ":status": 200 }, { endStream: true });
  },
  // This stream and all after it are declared as not processed; nothing is closed.
  away: (stream, headers) => {
    if (refused.has(headers[":path"])) return answers.empty(stream);
    refused.add(headers[":path"]);
    processed -= 1;
    stream.session.goaway(constants.NGHTTP2_NO_ERROR, stream.id - 2);
  },
  settings: async (stream, _headers, streams, window) => {
    stream.session.settings({ maxConcurrentStreams: Number(streams), initialWindowSize: Number(window), headerTableSize: 0 });
    await body(stream);
    stream.respond({ ":status": 200 }, { endStream: true });
  },
  ping: async (stream) => {
    await body(stream);
    stream.session.ping(Buffer.from("12345678"), (error, _duration, payload) => {
      stream.respond({ ":status": 200 });
      stream.end(error ? String(error) : payload);
    });
  },
};

server.on("stream", (stream, headers) => {
  processed += 1;
  stream.on("error", () => {});
  const [name, ...rest] = headers[":path"].split("?")[0].slice(1).split("/");
  Promise.resolve(answers[name](stream, headers, ...rest)).catch(() => {});
});
server.on("session", (session) => session.on("error", () => {}));
server.on("sessionError", () => {});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
