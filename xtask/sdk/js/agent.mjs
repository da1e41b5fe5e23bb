// One client of npm `centrifuge`, driven over standard input and output.
//
//   node agent.mjs MODULES URL json|protobuf
//
// Each line of input is {"id", "op", …}; it is answered by one line {"id", "ok": {…}} or {"id", "error": {"code", "message"}}.
// What happens meanwhile is written as lines {"event", …}. The process ends with its input.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import path from "node:path";

const [modules, url, format] = process.argv.slice(2);
const require = createRequire(path.join(modules, "agent.js"));
const { Centrifuge } = require(format === "protobuf" ? "centrifuge/build/protobuf" : "centrifuge");
const binary = format === "protobuf";

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const encode = (data) => (binary ? new TextEncoder().encode(JSON.stringify(data)) : data);
const decode = (data) => (binary ? JSON.parse(new TextDecoder().decode(data)) : data);

const client = new Centrifuge(url, { websocket: require("ws"), minReconnectDelay: 50, maxReconnectDelay: 500, maxServerPingDelay: 2000 });
client.on("connecting", ({ code, reason }) => write({ event: "connecting", code, reason }));
client.on("connected", (context) => write({ event: "connected", client: context.client }));
client.on("disconnected", ({ code, reason }) => write({ event: "disconnected", code, reason }));

/** Subscribes and resolves when the server has answered. */
function subscribe(channel) {
  const subscription = client.getSubscription(channel) ?? newSubscription(channel);
  return new Promise((resolve, reject) => {
    const settle = (done) => {
      subscription.off("subscribed", subscribed);
      subscription.off("unsubscribed", refused);
      done();
    };
    const subscribed = () => settle(() => resolve({}));
    const refused = ({ code, reason }) => settle(() => reject({ code, message: reason }));
    subscription.on("subscribed", subscribed);
    subscription.on("unsubscribed", refused);
    subscription.subscribe();
  });
}

function newSubscription(channel) {
  const subscription = client.newSubscription(channel, { minResubscribeDelay: 50, maxResubscribeDelay: 500 });
  subscription.on("publication", ({ data, info }) => write({ event: "publication", channel, data: decode(data), from: info?.client }));
  subscription.on("subscribed", () => write({ event: "subscribed", channel }));
  subscription.on("unsubscribed", ({ code }) => write({ event: "unsubscribed", channel, code }));
  return subscription;
}

/** What follows a command of one connection is answered after it: waits for the answer to a harmless one. */
const barrier = () => client.rpc("barrier", encode({})).catch(() => {});

const operations = {
  connect: async () => {
    client.connect();
    await client.ready();
    return {};
  },
  disconnect: async () => client.disconnect(),
  subscribe: ({ channel }) => subscribe(channel),
  unsubscribe: async ({ channel }) => {
    client.getSubscription(channel).unsubscribe();
    await barrier();
  },
  // All are sent before the first answer is awaited.
  publish: ({ channel, messages }) => Promise.all(messages.map((data) => client.publish(channel, encode(data)))),
  publish_bytes: ({ channel, bytes }) => client.publish(channel, new Uint8Array(bytes)),
  batch: async ({ channel, messages }) => {
    client.startBatching();
    const subscribed = subscribe(channel);
    const published = messages.map((data) => client.publish(channel, encode(data)));
    client.stopBatching();
    await Promise.all([subscribed, ...published]);
  },
  rpc: ({ method }) => client.rpc(method, encode({})),
  history: ({ channel }) => client.history(channel, { limit: 10 }),
  presence: ({ channel }) => client.presence(channel),
  presence_stats: ({ channel }) => client.presenceStats(channel),
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { id, op, ...parameters } = JSON.parse(line);
  try {
    await operations[op](parameters);
    write({ id, ok: {} });
  } catch (error) {
    write({ id, error: { code: error.code ?? 0, message: error.message ?? String(error) } });
  }
}).on("close", () => process.exit(0));
