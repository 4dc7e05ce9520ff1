// The native programs, to compare with.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./browser.js";

const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
const run = promisify(execFile);

const program = (name, args) =>
  run(join(TARGET, "release/examples", name), args, { cwd: ROOT, maxBuffer: 1 << 26, env: { ...process.env, XDG_RUNTIME_DIR: "/tmp" } });

/** What `classify` says of pictures, one object each. */
export async function classify(pictures, ...args) {
  const { stdout } = await program("classify", [...pictures, "--json", "--top", "10", "--device", "cpu", ...args]);
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

export const train = (...args) => program("train", args);
