// One client of npm `centrifuge`, driven over standard input and output.
//
//   node agent.mjs MODULES URL json|protobuf USER [SECRET]
//
// With a secret the client brings tokens that it signs itself, and without one a header that a proxy would set.
//
// Each line of input is {"id", "op", …}; it is answered by one line {"id", "ok": …} or {"id", "error": {"code", "message"}}.
// What happens meanwhile is written as lines {"event", …}. The process ends with its input.

import { createHmac } from "node:crypto";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import path from "node:path";

const [modules, url, format, user, secret] = process.argv.slice(2);
const require = createRequire(path.join(modules, "agent.js"));
const { Centrifuge } = require(format === "protobuf" ? "centrifuge/build/protobuf" : "centrifuge");
const binary = format === "protobuf";

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const encode = (data) => (binary ? new TextEncoder().encode(JSON.stringify(data)) : data);
const decode = (data) => (binary ? JSON.parse(new TextDecoder().decode(data)) : data);
/** In Protobuf no data is an empty array. */
const optional = (data) => (data === undefined || data.length === 0 ? undefined : decode(data));
const received = ({ data, info, offset, tags }) => ({ data: decode(data), from: info?.client, offset, tags });
const position = ({ wasRecovering, recovered, streamPosition }) => ({ was_recovering: wasRecovering, recovered, ...streamPosition });

/** A browser would send a cookie; here a proxy in front of the server is imitated. */
class WebSocketOfUser extends require("ws") {
  constructor(address, protocols) {
    super(address, protocols, secret ? {} : { headers: { "X-User-ID": user } });
  }
}

/** Seconds that tokens last, per kind; none for ever. A kind that is `null` is not to be had. With `forged` they are wrong. */
let lasting = {};

/** A token of that kind, when the library asks for one; each is told. */
async function token(kind, claims) {
  write({ event: `${kind}_token`, channel: claims.channel });
  if (lasting[kind] === null) {
    throw new Error("no token is to be had");
  }
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = lasting[kind] && Math.floor(Date.now() / 1000) + lasting[kind];
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp, ...claims })}`;
  return `${signed}.${createHmac("sha256", lasting.forged ? "guessed" : secret).update(signed).digest("base64url")}`;
}

const client = new Centrifuge(url, {
  websocket: WebSocketOfUser,
  minReconnectDelay: 50,
  maxReconnectDelay: 500,
  maxServerPingDelay: 2000,
  getToken: secret ? () => token("connection", {}) : null,
});
client.on("connecting", ({ code, reason }) => write({ event: "connecting", code, reason }));
client.on("connected", (context) => write({ event: "connected", client: context.client }));
client.on("disconnected", ({ code, reason }) => write({ event: "disconnected", code, reason }));
// Subscriptions that the server made.
client.on("subscribed", (context) => write({ event: "server_subscribed", channel: context.channel, data: optional(context.data), ...position(context) }));
client.on("unsubscribed", ({ channel }) => write({ event: "server_unsubscribed", channel }));
client.on("publication", (context) => write({ event: "publication", channel: context.channel, ...received(context) }));
client.on("join", ({ channel, info }) => write({ event: "join", channel, from: info.client, user: info.user }));
client.on("leave", ({ channel, info }) => write({ event: "leave", channel, from: info.client, user: info.user }));

/** Subscribes and resolves when the server has answered. */
function subscribe(channel, options) {
  const subscription = client.getSubscription(channel) ?? newSubscription(channel, options);
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

function newSubscription(channel, { delta, filter, join_leave, without_token }) {
  const subscription = client.newSubscription(channel, {
    minResubscribeDelay: 50,
    maxResubscribeDelay: 500,
    delta: delta ? "fossil" : undefined,
    tagsFilter: filter,
    joinLeave: join_leave,
    getToken: secret && !without_token ? () => token("subscription", { channel }) : null,
  });
  subscription.on("subscribing", ({ code }) => write({ event: "subscribing", channel, code }));
  subscription.on("publication", (context) => write({ event: "publication", channel, ...received(context) }));
  subscription.on("subscribed", (context) => write({ event: "subscribed", channel, ...position(context) }));
  subscription.on("unsubscribed", ({ code }) => write({ event: "unsubscribed", channel, code }));
  subscription.on("join", ({ info }) => write({ event: "join", channel, from: info.client, user: info.user }));
  subscription.on("leave", ({ info }) => write({ event: "leave", channel, from: info.client, user: info.user }));
  return subscription;
}

/** What follows a command of one connection is answered after it: waits for the answer to a harmless one. */
const barrier = () => client.rpc("barrier", encode({})).catch(() => {});

const operations = {
  lasting: async (seconds) => void (lasting = seconds),
  connect: async () => {
    client.connect();
    await client.ready();
  },
  disconnect: async () => client.disconnect(),
  subscribe: ({ channel, ...options }) => subscribe(channel, options),
  unsubscribe: async ({ channel }) => {
    client.getSubscription(channel).unsubscribe();
    await barrier();
  },
  // All are sent before the first answer is awaited.
  publish: async ({ channel, messages }) => void (await Promise.all(messages.map((data) => client.publish(channel, encode(data))))),
  publish_bytes: ({ channel, bytes }) => client.publish(channel, new Uint8Array(bytes)),
  batch: async ({ channel, messages }) => {
    client.startBatching();
    const subscribed = subscribe(channel, {});
    const published = messages.map((data) => client.publish(channel, encode(data)));
    client.stopBatching();
    await Promise.all([subscribed, ...published]);
  },
  rpc: ({ method }) => client.rpc(method, encode({})),
  history: async ({ channel, limit, since, reverse }) => {
    const { publications, offset, epoch } = await client.history(channel, { limit, since, reverse });
    return { publications: publications.map(received), offset, epoch };
  },
  presence: async ({ channel }) => {
    const { clients } = await client.presence(channel);
    return Object.fromEntries(Object.entries(clients).map(([id, info]) => [id, info.user]));
  },
  presence_stats: async ({ channel }) => {
    const { numClients, numUsers } = await client.presenceStats(channel);
    return { clients: numClients, users: numUsers };
  },
  delta_stats: async ({ channel }) => {
    const { numFullPayloads, numDeltaPayloads } = client.getSubscription(channel).deltaStats();
    return { full: numFullPayloads, delta: numDeltaPayloads };
  },
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { id, op, ...parameters } = JSON.parse(line);
  try {
    write({ id, ok: (await operations[op](parameters)) ?? {} });
  } catch (error) {
    write({ id, error: { code: error.code ?? 0, message: error.message ?? String(error) } });
  }
}).on("close", () => process.exit(0));
