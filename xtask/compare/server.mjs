// npm ws as a relay or an echo, for `cargo xtask compare`: server.mjs NODE_MODULES --listen HOST:PORT [--echo]
import { createRequire } from "node:module";

const [modules, ...flags] = process.argv.slice(2);
const { WebSocket, WebSocketServer } = createRequire(`${modules}/`)("ws");

const echo = flags.includes("--echo");
const [host, port] = flags[flags.indexOf("--listen") + 1].split(":");
const server = new WebSocketServer({ host, port: Number(port), perMessageDeflate: false, backlog: 1024 });

server.on("listening", () => console.log(`listening on http://${host}:${server.address().port}`));
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, binary) => {
    if (echo) {
      socket.send(data, { binary });
      return;
    }
    for (const client of server.clients) {
      if (client !== socket && client.readyState === WebSocket.OPEN) {
        client.send(data, { binary });
      }
    }
  });
});
