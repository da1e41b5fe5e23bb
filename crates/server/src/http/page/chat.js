// The chat page: one room of the relay, through the browser's own WebSocket.
//
// The wire is plain text, one message a line of talk: "name: text". The server does not send a message back to its sender, so
// the page shows its own. Whatever arrives is put on the page with textContent only; it is never markup.
//
// Nothing is queued while the connection is down: a message written then is shown as not sent, with a button that sends it
// again. A line that leaves minutes late, into a talk that has moved on, would be worse than one that says it stayed here.

/** Room of a bare upgrade on `/`, which the server writes into the page. */
const DEFAULT_ROOM = document.querySelector('meta[name="throng-default-room"]').content;
const ROOM_BYTES = 249;
const LOG_LIMIT = 500;
/** Bytes that may wait inside the browser before a message counts as not sent. */
const WAITING_BYTES = 1024 * 1024;
const CONNECT_LIMIT_MS = 10_000;
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 20_000;
/** A connection that held this long was a success: the next loss starts the waiting times anew. */
const STEADY_MS = 5_000;
/** Messages of one author that follow each other this closely share one heading. */
const SAME_AUTHOR_MS = 5 * 60_000;

const element = (id) => document.getElementById(id);
const log = element("log");
const text = element("text");
const nameField = element("name");
const status = element("status");

/** Whether a connection that the server closed with `code` is worth another try without being asked. */
function reconnects(code) {
  if (code >= 3000) return !(code >= 3500 && code < 4000) && code < 4500;
  return ![1000, 1002, 1003, 1007, 1008, 1009, 1010].includes(code);
}

/** How long to wait before try number `attempt` (from 0): exponential with full jitter, so that a crowd does not return at once. */
function retryDelay(attempt) {
  return Math.random() * Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** attempt);
}

/** What is wrong with `room` as a name, or null. The same rules as the server's, plus "." and "..", which no URL can carry. */
function roomFault(room) {
  if (room === "") return "A room needs a name.";
  if (!/^[\x20-\x7e]+$/.test(room)) return "A room's name is plain ASCII.";
  if (room.length > ROOM_BYTES) return `A room's name has at most ${ROOM_BYTES} characters.`;
  if (/[$#:/]/.test(room)) return "A room's name may not contain $, #, : or /.";
  if (room === "." || room === "..") return "A room's name may not be . or ..";
  return null;
}

/** The room that the address asks for: `?room=name` before `#name` before the default. */
function roomFromAddress() {
  const asked = new URLSearchParams(location.search).get("room");
  if (asked !== null) return asked.trim();
  const hash = location.hash.slice(1);
  try {
    return decodeURIComponent(hash).trim() || DEFAULT_ROOM;
  } catch {
    return hash; // not percent-encoded after all
  }
}

/** `room` as a path segment; also escapes what a shell would take for its own. */
function segment(room) {
  return encodeURIComponent(room).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}

/**
 * A WebSocket that comes back by itself.
 *
 *            connect()                 opened
 *   idle ───────────────► connecting ────────► open
 *                          ▲      │              │
 *             timer, online│      ▼ closed       ▼ closed
 *             visible, ask └───── lost ◄─────────┘      (stays there, until asked, after a close code that forbids a retry)
 */
class Connection {
  #url;
  #on;
  #socket = null;
  #timer = 0;
  #attempt = 0;
  #openedAt = 0;
  #sentBytes = 0;
  /** Messages that may still wait inside the browser: what was given to `send`, and the byte count at its end. */
  #leaving = [];

  /** `on.state({state, wasOpen, code, reason, retryAt})`, `on.message(data)` and `on.unsent(token)` are told what happens. */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
  }

  /** Connects now, unless a connection is there or on its way. */
  connect() {
    if (this.#socket !== null) return;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#on.state({ state: "connecting" });
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    const limit = setTimeout(() => socket.close(), CONNECT_LIMIT_MS);
    socket.onopen = () => {
      clearTimeout(limit);
      this.#openedAt = Date.now();
      this.#sentBytes = 0;
      this.#on.state({ state: "open" });
    };
    socket.onmessage = (event) => this.#on.message(event.data);
    socket.onclose = (event) => {
      clearTimeout(limit);
      this.#closed(socket, event);
    };
    this.#socket = socket;
  }

  /** Connects now if this connection is waiting for its next try; an ended one stays ended. */
  hurry() {
    if (this.#timer !== 0) this.connect();
  }

  /** Hands `line` to the browser. False if it will not leave: no connection, or too much is waiting already. */
  send(line, token) {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN || socket.bufferedAmount > WAITING_BYTES) return false;
    socket.send(line);
    this.#sentBytes += new TextEncoder().encode(line).length;
    this.#leaving = this.#stillHere(socket);
    this.#leaving.push({ end: this.#sentBytes, token });
    return true;
  }

  #stillHere(socket) {
    const gone = this.#sentBytes - socket.bufferedAmount;
    return this.#leaving.filter((message) => message.end > gone);
  }

  #closed(socket, { code, reason }) {
    this.#socket = null;
    for (const { token } of this.#stillHere(socket)) this.#on.unsent(token);
    this.#leaving = [];
    const wasOpen = this.#openedAt !== 0;
    if (wasOpen && Date.now() - this.#openedAt >= STEADY_MS) this.#attempt = 0;
    this.#openedAt = 0;
    let retryAt = null;
    if (reconnects(code)) {
      const delay = retryDelay(this.#attempt);
      this.#attempt += 1;
      retryAt = Date.now() + delay;
      this.#timer = setTimeout(() => this.connect(), delay);
    }
    this.#on.state({ state: "lost", wasOpen, code, reason, retryAt });
  }
}

// The log

let atEnd = true;
let lastTop = 0;
let unseen = 0;

const timeOfDay = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

function make(tag, className, content = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = content;
  return node;
}

/** Splits "name: text" at the first ": "; a line without a short name in front has no author. */
function split(line) {
  const match = /^([^:\n]{1,32}): /.exec(line);
  return match ? { author: match[1], words: line.slice(match[0].length) } : { author: "", words: line };
}

/** A stable colour class for a name. */
function hue(author) {
  let hash = 7;
  for (const unit of author) hash = (hash * 31 + unit.codePointAt(0)) >>> 0;
  return `hue-${hash % 8}`;
}

/** The node for one message; its `.line` holds exactly the text that travelled. */
function messageNode(line, kind) {
  const { author, words } = kind === "bytes" ? { author: "", words: line } : split(line);
  const node = make("div", `message ${kind}`);
  node.classList.add(author === "" ? "nameless" : hue(author));
  node.dataset.initial = author === "" ? "" : [...author][0].toUpperCase();
  node.dataset.author = author;
  const lineNode = make("span", "line");
  if (author !== "") lineNode.append(make("bdi", kind === "own" ? "author hidden" : "author", author), make("span", "hidden", ": "));
  lineNode.append(make("span", "text", words));
  const meta = make("time", "meta", timeOfDay.format(new Date()));
  meta.dateTime = new Date().toISOString();
  const bubble = make("div", "bubble");
  bubble.append(lineNode, meta);
  node.append(bubble);
  return node;
}

function follows(node, previous) {
  if (!previous?.classList.contains("message")) return false;
  const when = (message) => Date.parse(message.querySelector("time").dateTime);
  return previous.className.replace(" same", "") === node.className
    && previous.dataset.author === node.dataset.author
    && when(node) - when(previous) < SAME_AUTHOR_MS;
}

/** Adds to the end of the log, which keeps the last LOG_LIMIT entries, and stays at the end if it was there. */
function append(node) {
  if (follows(node, log.lastElementChild)) node.classList.add("same");
  log.append(node);
  while (log.childElementCount > LOG_LIMIT) log.firstElementChild.remove();
  log.firstElementChild.classList.remove("same");
  if (atEnd || node.classList.contains("own")) toEnd();
  else element("newer").hidden = false;
}

/** Scrolls with the next frame, once for all that arrived until then. */
function toEnd() {
  setAtEnd(true);
  requestAnimationFrame(() => {
    if (!atEnd) return;
    log.scrollTop = log.scrollHeight;
    lastTop = log.scrollTop;
  });
}

function setAtEnd(now) {
  atEnd = now;
  log.classList.toggle("at-end", now); // there the browser must not anchor the view to an older message
  if (now) element("newer").hidden = true;
}

/** Only a move upwards leaves the end: the event comes late, when more messages may have put the end further down. */
function scrolled() {
  const near = log.scrollHeight - log.scrollTop - log.clientHeight < 48;
  if (near) setAtEnd(true);
  else if (log.scrollTop < lastTop) setAtEnd(false);
  lastTop = log.scrollTop;
}

function received(data) {
  if (typeof data === "string") {
    append(messageNode(data, "other"));
  } else {
    const count = data.byteLength;
    append(messageNode(`[${count} ${count === 1 ? "byte" : "bytes"}]`, "bytes"));
  }
  if (document.hidden) {
    unseen += 1;
    setTitle();
  }
}

/** Shows an own message as one that did not leave, with the means to send it again. */
function markUnsent(node) {
  if (node.classList.contains("unsent")) return;
  node.classList.add("unsent");
  node.querySelector(".meta").textContent = "not sent";
  const again = make("button", "again", "Send again");
  again.type = "button";
  again.onclick = () => {
    node.remove();
    say(node.querySelector(".line").textContent);
    text.focus();
  };
  node.querySelector(".bubble").append(again);
}

/** Shows `line` as an own message and sends it, or marks it. */
function say(line) {
  const node = messageNode(line, "own");
  if (!connection.send(line, node)) markUnsent(node);
  append(node);
}

// The status

let lostAt = 0;
let counting = 0;

function countDown(retryAt) {
  const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
  element("countdown").textContent = `Reconnecting in ${seconds} s`;
}

function lostText({ wasOpen, code, reason, retryAt }) {
  const said = reason === "" ? "" : `: ${reason}`;
  if (retryAt === null) return `The server closed the connection${said} (code ${code})`;
  return wasOpen ? `Connection lost${said}.` : "No connection.";
}

function showState(change) {
  const { state, retryAt } = change;
  clearInterval(counting);
  element("countdown").textContent = "";
  element("retry").hidden = state !== "lost";
  status.dataset.state = state;
  if (state === "lost") {
    element("status-text").textContent = lostText(change);
    element("retry").textContent = retryAt === null ? "Reconnect" : "Retry now";
    if (lostAt === 0) lostAt = Date.now();
    if (retryAt !== null) {
      countDown(retryAt);
      counting = setInterval(countDown, 250, retryAt);
    }
    return;
  }
  element("status-text").textContent = state === "open" ? "Connected" : "Connecting…";
  if (state === "open" && lostAt !== 0) {
    noteGap(Date.now() - lostAt);
    lostAt = 0;
  }
}

/** Says in the log that something may be missing. The first connection leaves no gap: there was nothing to miss. */
function noteGap(gapMs) {
  if (log.childElementCount === 0) return;
  const seconds = Math.max(1, Math.round(gapMs / 1000));
  const long = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  append(make("p", "note", `The connection was away for ${long}. The relay keeps no history: what others said meanwhile is not shown.`));
}

// The page

const room = roomFromAddress();
const fault = roomFault(room);
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const relay = `${scheme}//${location.host}/relay/${segment(room)}`;
const connection = new Connection(relay, { state: showState, message: received, unsent: markUnsent });

function setTitle() {
  document.title = `${unseen > 0 ? `(${unseen}) ` : ""}${room} · throng`;
}

function remembered(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null; // storage may be switched off
  }
}

function remember(key, value) {
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // the name then lasts as long as the page
  }
}

/** The name as it goes on the wire: it ends at the first ": ", so it has no colon, and no line break. */
function ownName() {
  return nameField.value.replace(/[:\r\n]+/g, " ").trim();
}

function fillPage() {
  setTitle();
  element("room").textContent = room;
  nameField.value = remembered("name") ?? `guest-${100 + Math.floor(Math.random() * 900)}`;
  const link = new URL("/", location.href);
  link.searchParams.set("room", room);
  element("link").textContent = link.href;
  const word = /^[\w.-]+$/.test(room) && !room.startsWith("-") ? room : `'${room.replaceAll("'", `'\\''`)}'`;
  const standard = ["127.0.0.1:8080", "localhost:8080"].includes(location.host) && scheme === "ws:";
  element("command-client").textContent = `throng-client chat ${word}${standard ? "" : ` --url ${scheme}//${location.host}`}`;
  element("command-websocat").textContent = `websocat ${relay}`;
}

async function copy(button) {
  const source = element(button.dataset.copies);
  let done = true;
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source); // no clipboard without a secure context: left selected for the user
    done = false;
  }
  button.textContent = done ? "Copied" : "Selected";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function listen() {
  element("compose").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (words === "") return;
    const name = ownName();
    say(name === "" ? words : `${name}: ${words}`);
    text.value = "";
    text.focus();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    element("compose").requestSubmit();
  });
  nameField.addEventListener("change", () => remember("name", ownName()));
  element("switch").addEventListener("submit", (event) => {
    event.preventDefault();
    const other = element("other-room").value.trim();
    const wrong = roomFault(other);
    element("other-room-fault").textContent = wrong ?? "";
    if (wrong === null) location.assign(`/?room=${segment(other)}`);
  });
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => copy(button));
  element("retry").addEventListener("click", () => {
    text.focus(); // the button is about to go, and would take the focus with it
    connection.connect();
  });
  element("newer").addEventListener("click", () => {
    toEnd();
    text.focus();
  });
  log.addEventListener("scroll", scrolled);
  new ResizeObserver(() => atEnd && toEnd()).observe(log);
  addEventListener("hashchange", () => roomFromAddress() !== room && location.reload());
  addEventListener("online", () => connection.hurry());
  addEventListener("pageshow", () => connection.hurry());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    connection.hurry();
    unseen = 0;
    setTitle();
  });
}

/** The side panel is always open where it has its own column, and closed at first where it has not. */
function followWidth() {
  const wide = matchMedia("(min-width: 56rem)");
  const panel = element("panel");
  const apply = () => { panel.open = wide.matches; };
  wide.addEventListener("change", apply);
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || wide.matches) return;
    panel.open = false;
    panel.querySelector("summary").focus();
  });
  apply();
}

fillPage();
listen();
followWidth();
if (fault === null) {
  connection.connect();
} else {
  status.dataset.state = "lost";
  element("status-text").textContent = `Not a room. ${fault}`;
}
if (matchMedia("(pointer: fine)").matches) text.focus();
