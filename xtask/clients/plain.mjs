// Plain WebSocket clients: npm `ws`, and the command line `wscat`.
//
//   node plain.mjs MODULES HOST:PORT
//
// Writes one line {"check", "ms", "error"} for each check.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import path from "node:path";

const [modules, address] = process.argv.slice(2);
const WebSocket = createRequire(path.join(modules, "plain.js"))("ws");
const LIMIT = 20_000;

/** A client whose messages can be awaited one by one: text as strings, the rest as buffers. */
async function open(where) {
  const socket = new WebSocket(`ws://${address}${where}`, { perMessageDeflate: false });
  const received = [];
  const waiting = [];
  socket.on("message", (data, binary) => {
    const message = binary ? data : data.toString();
    const next = waiting.shift();
    if (next) next(message);
    else received.push(message);
  });
  await once(socket, "open", { signal: AbortSignal.timeout(LIMIT) });
  return {
    socket,
    send: (data) => socket.send(data),
    next: () => received.length > 0 ? received.shift() : new Promise((resolve, reject) => {
      waiting.push(resolve);
      setTimeout(reject, LIMIT, new Error("nothing came")).unref();
    }),
  };
}

/** Runs wscat until a line of its output fits. */
async function wscat(where, sent, fits) {
  const program = path.join(modules, ".bin", "wscat");
  const child = spawn(program, ["-c", `ws://${address}${where}`, "-x", sent, "-w", "10"], { stdio: ["pipe", "pipe", "inherit"] });
  try {
    let output = "";
    for await (const part of child.stdout) {
      output += part;
      if (fits(output)) return;
    }
    throw new Error(`wscat printed ${JSON.stringify(output)}`);
  } finally {
    child.kill("SIGKILL");
  }
}

const checks = {
  async "ws: echo of text and binary, ping, and a clean close"() {
    const client = await open("/echo");
    for (const message of ["text", Buffer.alloc(0), Buffer.from([0, 255]), "🦀".repeat(10_000), Buffer.alloc(1 << 20, 7)]) {
      client.send(message);
      assert.deepEqual(await client.next(), message);
    }
    client.socket.ping("are you there?");
    const [data] = await once(client.socket, "pong", { signal: AbortSignal.timeout(LIMIT) });
    assert.equal(data.toString(), "are you there?");
    client.socket.close(1000);
    const [code] = await once(client.socket, "close", { signal: AbortSignal.timeout(LIMIT) });
    assert.equal(code, 1000);
  },

  async "ws: the relay keeps text and binary apart, and order"() {
    const [ann, bob] = [await open("/relay/node"), await open("/relay/node")];
    for (let n = 0; n < 5000; n += 1) ann.send(n % 2 === 0 ? `${n}` : Buffer.from(`${n}`));
    for (let n = 0; n < 5000; n += 1) assert.deepEqual(await bob.next(), n % 2 === 0 ? `${n}` : Buffer.from(`${n}`));
    bob.send("the first that Ann hears");
    assert.equal(await ann.next(), "the first that Ann hears");
    for (const { socket } of [ann, bob]) socket.close();
  },

  "wscat: echo": () => wscat("/echo", "hello, wscat", (output) => output.includes("hello, wscat")),

  "wscat: the connect command is answered": () => wscat(
    "/connection/websocket", '{"id":1,"connect":{}}', (output) => /"connect":\{"client":"[0-9a-f-]{36}"/.test(output),
  ),
};

for (const [check, perform] of Object.entries(checks)) {
  const began = performance.now();
  let error = null;
  try {
    await perform();
  } catch (fault) {
    error = fault.message;
  }
  process.stdout.write(`${JSON.stringify({ check, ms: Math.round(performance.now() - began), error })}\n`);
}
process.exit(0);
