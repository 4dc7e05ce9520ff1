// Where the page is served from, and what it may do there.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { extname, join } from "node:path";
import { after, test } from "node:test";
import { answered, open, ready, ROOT } from "./browser.js";
import { fixture } from "./fixture.js";

const browser = fixture();
const KINDS = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".wasm": "application/wasm", ".png": "image/png", ".svg": "image/svg+xml" };

/** A server of this test's; gives its address. */
async function listen(answer) {
  const server = createServer(answer);
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  after(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

/** The page in a folder of a host that knows nothing of it, and sends no policy. */
const host = listen(async (asked, answer) => {
  const path = asked.url.replace("/some/folder/", "") || "index.html";
  try {
    const body = await readFile(join(ROOT, "web/dist", path));
    answer.writeHead(200, { "Content-Type": KINDS[extname(path)] ?? "application/octet-stream" }).end(body);
  } catch {
    answer.writeHead(404).end();
  }
});

test("the page works in a folder of any host of static files", async () => {
  const { page, faults } = await open(browser.context, `${await host}/some/folder/`);
  await ready(page);
  await page.click("img[alt=bag]");
  await answered(page, "Bag");
  await page.click("#start");
  await page.waitForFunction(() => /^Step/.test(document.getElementById("train-state").textContent));
  assert.deepEqual(faults, []);
  await page.close();
});

test("by the page's own policy no script but its files runs, and nothing leaves its origin", async () => {
  const reached = [];
  const elsewhere = await listen(({ url }, answer) => {
    reached.push(url);
    answer.writeHead(200, { "Access-Control-Allow-Origin": "*" }).end();
  });
  const { page } = await open(browser.context, `${await host}/some/folder/`);
  await ready(page);
  const got = await page.evaluate(async (elsewhere) => {
    const refused = [];
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => refused.push(effectiveDirective));
    const add = (tag, properties) => document.body.append(Object.assign(document.createElement(tag), properties));
    add("script", { textContent: "window.ran = true" });
    add("script", { src: `${elsewhere}/script.js` });
    add("img", { src: `${elsewhere}/image.png` });
    add("link", { rel: "stylesheet", href: `${elsewhere}/style.css` });
    add("iframe", { src: elsewhere });
    document.body.setAttribute("onclick", "window.ran = true");
    document.body.click();
    const fetched = await fetch(`${elsewhere}/fetched`).then(() => true, () => false);
    await new Promise((resolve) => { setTimeout(resolve, 200); });
    return { fetched, ran: Boolean(window.ran), refused: [...new Set(refused)].sort() };
  }, elsewhere);
  assert.deepEqual(got, {
    fetched: false,
    ran: false,
    refused: ["connect-src", "frame-src", "img-src", "script-src-attr", "script-src-elem", "style-src-elem"],
  });
  assert.deepEqual(reached, []);
  await page.close();
});

test("the server of scripts/web is this machine's alone, sends a policy, and gives nothing beyond its folder", async () => {
  const { port } = new URL(browser.server.url);
  const get = (path) => new Promise((resolve, reject) => {
    request({ port, path, host: "127.0.0.1" }, ({ statusCode, headers }) => resolve({ statusCode, headers })).on("error", reject).end();
  });
  const { statusCode, headers } = await get("/worker.js");
  assert.equal(statusCode, 200);
  // A worker has no policy but that of its own answer.
  assert.match(headers["content-security-policy"], /default-src 'none'.*connect-src 'self'.*frame-ancestors 'none'/);
  for (const path of ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd", "/none.js"]) {
    assert.equal((await get(path)).statusCode, 404, path);
  }
  const others = Object.values(networkInterfaces()).flat().filter(({ internal, scopeid }) => !internal && !scopeid);
  for (const { address } of others) {
    const error = await new Promise((resolve) => {
      const socket = connect({ port, host: address, timeout: 2000 }, () => resolve(null));
      socket.on("error", resolve);
      socket.on("timeout", () => resolve("no answer"));
    });
    assert.ok(error, `${address} answers`);
  }
});
