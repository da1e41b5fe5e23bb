// The chat page in headless Chromium, driven by playwright-core.
//
//   node page.mjs MODULES CHROMIUM URL SCREENSHOTS
//
// Writes one line {"check", "ms", "error"} for each check. A line {"need": "stop" | "start"} asks for the server to be stopped or
// started again on its port, and waits for a line of input. The process ends by itself.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";

const [modules, chromium, url, screenshots] = process.argv.slice(2);
const require = createRequire(path.join(modules, "page.js"));
const playwright = require("playwright-core");
const { WebSocket } = require("ws");

const WAIT = 15_000;
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const MARKUP = `<img src=x onerror="document.title='hacked'"><script>document.title='hacked'</script><b>bold</b> &amp; "quoted"`;

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function need(what) {
  write({ need: what });
  await answers.next();
}

/** Everything that pages complained about or asked other hosts for, over the whole run. */
const complaints = [];
let browser;

/** A new page with a context, and so a browser session, of its own. */
async function open({ room = "", options = {} } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(WAIT);
  const page = await context.newPage();
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => new URL(request.url()).host === new URL(url).host || complaints.push(`asks for ${request.url()}`));
  await page.addInitScript(() => {
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
  });
  await page.goto(`${url}/${room}`);
  return page;
}

const state = (page, wanted) => page.locator(`#status[data-state="${wanted}"]`).waitFor();

async function joined(where) {
  const page = await open(where);
  await state(page, "open");
  return page;
}

const close = (...pages) => Promise.all(pages.map((page) => page.context().close()));

async function say(page, text) {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.keyboard.press("Enter");
}

async function rename(page, name) {
  await page.getByRole("textbox", { name: "Name" }).fill(name);
}

/** Waits for a message whose text is exactly this, and returns its node. */
async function shown(page, text) {
  const message = page.locator(".message").filter({ has: page.locator(".text").getByText(text, { exact: true }) }).last();
  await message.waitFor();
  return message;
}

const texts = (page) => page.locator(".message .text").allTextContents();

/** A bare WebSocket client in a room of the relay. */
async function bare(room) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/relay/${room}`);
  const received = [];
  const waiting = [];
  socket.on("message", (data, binary) => {
    const message = binary ? data : data.toString();
    const next = waiting.shift();
    if (next) next(message);
    else received.push(message);
  });
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const next = () => received.shift() ?? Promise.race([
    new Promise((resolve) => waiting.push(resolve)),
    new Promise((_, reject) => setTimeout(reject, WAIT, new Error("the bare client received nothing")).unref()),
  ]);
  return { send: (data) => socket.send(data), next, close: () => socket.terminate() };
}

// What is measured inside the page

/** Contrast by WCAG 2 between a node's text and what it stands on. */
const contrast = (locator) => locator.evaluate((node) => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    pixel.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
      pixel.fillStyle = colour;
      pixel.fillRect(0, 0, 1, 1);
    }
    const channels = [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => value / 255);
    const linear = channels.map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const grounds = [];
  for (let at = node; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
  const [ground, ink] = [paint(["white", ...grounds]), paint(["white", ...grounds, getComputedStyle(node).color])];
  return (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
});

/** By how many pixels the page, the log or a message is wider than what it has. */
const sidewaysScroll = (page) => page.evaluate(() => Math.max(
  ...[document.documentElement, ...document.querySelectorAll("#log, .bubble")].map((node) => node.scrollWidth - node.clientWidth),
));

const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.tagName.toLowerCase());

const focusIsVisible = (page) => page.evaluate(() => {
  const around = [document.activeElement, document.activeElement.parentElement];
  return around.some((node) => {
    const style = getComputedStyle(node);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  });
});

// The checks

const checks = {
  async "two pages talk"() {
    const [ann, bob] = [await joined(), await joined()];
    await rename(ann, "Ann");
    await rename(bob, "Bob");
    await say(ann, "hello");
    const message = await shown(bob, "hello");
    assert.equal(await message.locator(".author").textContent(), "Ann");
    await say(bob, "good morning");
    await shown(ann, "good morning");
    await shown(ann, "hello"); // the relay does not send it back: the page shows its own
    assert.deepEqual(await texts(bob), ["hello", "good morning"]);
    assert.equal(await ann.getByRole("textbox", { name: "Message" }).inputValue(), "");
    await close(ann, bob);
  },

  async "the page shares its room with bare WebSocket clients, and with no other room"() {
    const [page, here, elsewhere] = [await joined({ room: "?room=shared" }), await bare("shared"), await bare("elsewhere")];
    await rename(page, "Ann");
    await say(page, "to all");
    assert.equal(await here.next(), "Ann: to all");
    elsewhere.send("not for here");
    here.send("from a terminal");
    here.send(Buffer.from([0, 1, 255]));
    await shown(page, "from a terminal");
    await shown(page, "[3 bytes]");
    assert.deepEqual(await texts(page), ["to all", "from a terminal", "[3 bytes]"]);
    here.close();
    elsewhere.close();
    await close(page);
  },

  async "markup and script are shown as text"() {
    const [page, other, here] = [await joined({ room: "?room=markup" }), await joined({ room: "?room=markup" }), await bare("markup")];
    const title = await page.title();
    here.send(MARKUP);
    here.send(`<i>name</i>: ${MARKUP}`);
    await rename(other, "<u>you</u>");
    await say(other, MARKUP);
    for (const view of [page, other]) {
      await view.locator(".message").nth(2).waitFor();
      assert.deepEqual(await texts(view), [MARKUP, MARKUP, MARKUP]);
      assert.equal(await view.locator("#log :is(img, script, b, i, u, a)").count(), 0);
      assert.equal(await view.title(), title);
    }
    assert.deepEqual(await page.locator(".message .author").allTextContents(), ["<i>name</i>", "<u>you</u>"]);
    here.close();
    await close(page, other);
  },

  async "the content security policy is strict and is obeyed"() {
    const page = await joined();
    const answer = await page.request.get(`${url}/`);
    const policy = answer.headers()["content-security-policy"] ?? "";
    const directives = new Map(policy.split(";").map((part) => part.trim().split(/\s+/)).map(([name, ...values]) => [name, values]));
    assert.match(answer.headers()["content-type"], /^text\/html/);
    assert.deepEqual(directives.get("default-src"), ["'none'"], policy);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    for (const name of ["base-uri", "form-action", "frame-ancestors"]) assert.ok(directives.has(name), `${name} is missing: ${policy}`);
    assert.equal(answer.headers()["x-content-type-options"], "nosniff");
    assert.deepEqual(complaints, []); // before we ourselves cause some
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "document.title = 'injected'";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend", `<img src="data:," onerror="document.title = 'injected'">`);
    });
    await page.waitForFunction(() => window.violations.some((directive) => directive.startsWith("script-src")));
    assert.notEqual(await page.title(), "injected");
    complaints.length = 0;
    await close(page);
  },

  async "a lost connection is shown, and so is its return"() {
    const [page, other] = [await joined({ room: "?room=lost" }), await joined({ room: "?room=lost" })];
    await say(page, "before");
    await shown(other, "before");
    await need("stop");
    await state(page, "lost");
    await state(other, "lost");
    assert.match(await page.getByRole("status").textContent(), /lost|no connection/i);
    await page.screenshot({ path: path.join(screenshots, "lost.png") });
    await say(page, "into the void");
    const message = await shown(page, "into the void");
    await message.getByText("not sent").waitFor();
    await need("start");
    await page.getByRole("button", { name: /retry|reconnect/i }).click({ timeout: 2000 }).catch(() => {}); // or it is back already
    await state(page, "open");
    await state(other, "open"); // by itself
    await message.getByRole("button", { name: "Send again" }).click();
    await shown(other, "into the void");
    await say(other, "after");
    await shown(page, "after");
    await page.screenshot({ path: path.join(screenshots, "back.png") });
    complaints.length = 0; // the browser itself reports connections that are refused
    await close(page, other);
  },

  async "the keyboard is enough"() {
    const [page, other] = [await joined({ room: "?room=keys" }), await joined({ room: "?room=keys" })];
    assert.equal(await focused(page), "text", "one can type at once");
    await page.keyboard.type("first");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("second");
    await page.keyboard.press("Enter");
    await shown(other, "first\nsecond").catch(async () => assert.deepEqual(await texts(other), ["first\nsecond"]));
    assert.equal(await focused(page), "text", "the focus stays in the text after sending");
    await page.keyboard.type("with the button");
    await page.keyboard.press("Tab");
    assert.equal(await focused(page), "send");
    await page.keyboard.press("Enter");
    await shown(other, "with the button");
    await page.locator("#text").focus();
    await page.keyboard.press("Shift+Tab");
    assert.equal(await focused(page), "name");
    await page.keyboard.press("Enter");
    const reached = new Set();
    for (let step = 0; step < 25; step += 1) { // once around, through the browser's own parts
      await page.keyboard.press("Tab");
      const at = await focused(page);
      reached.add(at);
      assert.ok(at === "body" || await focusIsVisible(page), `the focus cannot be seen on ${at}`);
    }
    for (const id of ["log", "name", "text", "send", "other-room"]) assert.ok(reached.has(id), `Tab does not reach ${id}: ${[...reached]}`);
    await close(page, other);
  },

  async "parts have roles and names"() {
    const page = await joined();
    for (const [role, name] of [["textbox", "Name"], ["textbox", "Message"], ["button", "Send"], ["log", "Messages"], ["textbox", "Room to go to"]]) {
      assert.equal(await page.getByRole(role, { name }).count(), 1, `${role} ${name}`);
    }
    assert.equal(await page.getByRole("heading", { level: 1 }).count(), 1);
    assert.equal(await page.getByRole("status").textContent().then((text) => text.trim()), "Connected");
    assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
    const nameless = await page.locator("button, input, textarea").evaluateAll((nodes) => nodes
      .filter((node) => !node.textContent.trim() && !node.ariaLabel && !node.labels?.length).map((node) => node.outerHTML));
    assert.deepEqual(nameless, []);
    await close(page);
  },

  async "a bad room name is refused in words"() {
    for (const room of ["?room=a:b", `?room=${"x".repeat(250)}`, "?room=caf%C3%A9", "?room=%24x"]) {
      const page = await open({ room });
      await page.getByRole("status").getByText(/not a room/i).waitFor();
      await close(page);
    }
  },

  async "a flood is cut to the last messages, and the end stays in view"() {
    const [page, here] = [await joined({ room: "?room=flood" }), await bare("flood")];
    for (let n = 0; n < 1200; n += 1) here.send(`flood: message ${n}`);
    await shown(page, "message 1199");
    assert.ok(await page.locator(".message").count() <= 500);
    await page.waitForFunction(() => {
      const log = document.getElementById("log");
      return log.scrollHeight - log.scrollTop - log.clientHeight < 5;
    });
    assert.equal((await texts(page)).at(-1), "message 1199");
    here.close();
    await close(page);
  },
};

const LAYOUTS = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 360, height: 640 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};
for (const [layout, options] of Object.entries(LAYOUTS)) {
  for (const colorScheme of ["light", "dark"]) {
    checks[`it fits and can be read: ${layout}, ${colorScheme}`] = async () => {
      const room = `${layout}-${colorScheme}`;
      const [page, here] = [await joined({ room: `?room=${room}`, options: { ...options, colorScheme } }), await bare(room)];
      assert.ok(await contrast(page.locator(".empty p")) >= 4.5, "the hint in an empty room");
      await rename(page, "Ann");
      await say(page, "Does everybody hear me?");
      here.send("Bob: Loud and clear.");
      here.send(`Carla: ${"unbroken".repeat(60)}`);
      here.send("a line without a name");
      await shown(page, "a line without a name");
      await say(page, "Then let us begin. ".repeat(12).trim());
      await page.locator(".message").nth(4).waitFor();
      assert.ok(await sidewaysScroll(page) <= 0, "it scrolls sideways");
      const { width, height } = page.viewportSize();
      for (const part of ["#text", "#send", "#status", "#log"]) {
        const box = await page.locator(part).boundingBox();
        assert.ok(box && box.x >= 0 && box.y >= 0 && box.x + box.width <= width + 0.5 && box.y + box.height <= height + 0.5, `${part} is out of view`);
      }
      for (const part of [".message.own .text", ".message.other .text", ".message.other .author", ".meta", "#status-text", "#room", "#send", "#text"]) {
        const ratio = await contrast(page.locator(part).first());
        assert.ok(ratio >= 4.5, `${part} has a contrast of ${ratio.toFixed(2)}`);
      }
      const luminance = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b));
      assert.ok(colorScheme === "dark" ? luminance < 300 : luminance > 450, `the ground is ${luminance}`);
      await page.screenshot({ path: path.join(screenshots, `${layout}-${colorScheme}.png`) });
      if (layout === "phone") {
        await page.getByText("Invite", { exact: true }).click();
        await page.locator("#other-room").waitFor();
        assert.ok(await sidewaysScroll(page) <= 0, "the open panel scrolls sideways");
        await page.screenshot({ path: path.join(screenshots, `${layout}-${colorScheme}-panel.png`) });
      }
      here.close();
      await close(page);
    };
  }
}

checks["no page complained, or asked another host for anything"] = async () => assert.deepEqual(complaints, []);

browser = await playwright.chromium.launch({ executablePath: chromium, args: FLAGS, timeout: 60_000 });
for (const [check, perform] of Object.entries(checks)) {
  let error = null;
  const began = performance.now();
  try {
    await perform();
  } catch (fault) {
    error = fault.message;
    await Promise.all(browser.contexts().map((context) => context.close()));
  }
  write({ check, ms: Math.round(performance.now() - began), error });
}
await browser.close();
process.exit(0);
