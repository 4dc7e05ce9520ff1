// node kernels.mjs FOLDER: Tint compiles every kernel of a folder that `--example shaders` wrote.

import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { open, pipeline, usesSubgroups } from './device.mjs';

const folder = process.argv[2];
const files = readdirSync(folder).filter((file) => file.endsWith('.wgsl')).sort();
if (files.length === 0) throw new Error(`no .wgsl files in ${folder}`);
const { device, errors, lanes, name } = await open();
console.log(`Dawn on ${name}`);

// The types of the buffers of group 0, which lie at bindings 0, 1, …, as the source declares them.
function declared(wgsl) {
  const variable = /@binding\(([^)]+)\)\s*var<([^>]+)>/g;
  // A binding may be a constant, or one more or less than that.
  const constant = (name) => wgsl.match(new RegExp(`const ${name}(?:: u32)? = (\\d+)`))?.[1];
  const number = (term) => Number(/^\d/.test(term) ? term.replace('u', '') : constant(term));
  const sum = (binding) => [...binding.matchAll(/(-?)\s*(\w+)/g)]
    .reduce((before, [, minus, term]) => before + (minus ? -1 : 1) * number(term), 0);
  const bindings = [];
  for (const [, binding, space] of wgsl.matchAll(variable)) {
    const read_only = space.includes('read_write') ? 'storage' : 'read-only-storage';
    bindings[sum(binding)] = space.startsWith('uniform') ? 'uniform' : read_only;
  }
  return bindings;
}

let failed = 0, left = 0;
for (const file of files) {
  const wgsl = readFileSync(join(folder, file), 'utf8');
  const [, entry] = basename(file).split('.');
  if (usesSubgroups(wgsl) && !lanes) {
    left += 1;
    console.log(`  -     ${file} (no subgroups here)`);
    continue;
  }
  try {
    await pipeline(device, { name: file, wgsl, entry, bindings: declared(wgsl) });
    console.log(`  ok    ${file}`);
  } catch (error) {
    failed += 1;
    console.log(`  FAIL  ${file}\n${error.message}`);
  }
}
for (const message of errors) console.log(message);
console.log(`${files.length - left - failed} of ${files.length} kernels compile`);
process.exit(failed || errors.length ? 1 : 0);
