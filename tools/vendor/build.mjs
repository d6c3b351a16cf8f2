// Builds ui/vendor from the pinned packages of package-lock.json: npm ci && node build.mjs
// With --check nothing is written: it rebuilds and tells whether the committed bytes are the same.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, version as esbuildVersion } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, '..', '..', 'ui', 'vendor');
const check = process.argv.includes('--check');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const json = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** The bundle, and the packages that really went into it. */
async function bundle() {
  const stub = (name) => join(here, 'stubs', name);
  const result = await build({
    entryPoints: [join(here, 'entry.mjs')],
    absWorkingDir: here,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    charset: 'utf8',
    legalComments: 'none', // the licences are in LICENSES.txt, complete
    banner: { js: '// Built by tools/vendor; do not edit. Licences: LICENSES.txt' },
    alias: {
      'three/webgpu': stub('three-webgpu.mjs'),
      'ngraph.graph': stub('ngraph.mjs'),
      'ngraph.forcelayout': stub('ngraph.mjs'),
    },
    metafile: true,
    write: false,
  });
  const used = Object.values(result.metafile.outputs)
    .flatMap((output) => Object.entries(output.inputs))
    .filter(([, input]) => input.bytesInOutput > 0)
    .map(([path]) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1])
    .filter((name) => name !== undefined);
  return { code: Buffer.from(result.outputFiles[0].contents), names: [...new Set(used)].sort() };
}

/** Name, version, licence and integrity of a package, as the lock file pins it. */
function pinned(name, lock) {
  const entry = lock.packages[`node_modules/${name}`];
  const { version, license } = json(join(here, 'node_modules', name, 'package.json'));
  if (version !== entry.version)
    throw new Error(`${name} ${version} is installed, but ${entry.version} is pinned: npm ci`);
  return { name, version, license, integrity: entry.integrity };
}

const MIT = `\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;

/** The licence text that a package ships, or that its package.json names. */
function licenceText({ name, license }) {
  const folder = join(here, 'node_modules', name);
  const file = readdirSync(folder)
    .sort()
    .find((entry) => /^licen[cs]e/i.test(entry));
  if (file) return readFileSync(join(folder, file), 'utf8').trim().replaceAll('\r\n', '\n');
  const { author } = json(join(folder, 'package.json'));
  if (license !== 'MIT') throw new Error(`${name} ships no licence text and is not MIT`);
  return `Copyright (c) ${typeof author === 'string' ? author : author?.name}\n\n${MIT}`;
}

const { code, names } = await bundle();
const lock = json(join(here, 'package-lock.json'));
const packages = names.map((name) => pinned(name, lock));
const rule = '-'.repeat(100);
const licences = packages.map(
  (entry) => `${entry.name} ${entry.version} (${entry.license})\n\n${licenceText(entry)}\n`,
);
const files = {
  'graph3d.js': code,
  'graph3d.d.ts': readFileSync(join(here, 'graph3d.d.ts')),
  'LICENSES.txt': Buffer.from(`What graph3d.js is made of.\n\n${rule}\n${licences.join(`\n${rule}\n`)}`),
};
const manifest = {
  about: 'Built by tools/vendor: npm ci && node build.mjs',
  esbuild: esbuildVersion,
  files: Object.fromEntries(
    Object.entries(files).map(([name, bytes]) => [name, { sha256: sha256(bytes), bytes: bytes.length }]),
  ),
  packages,
};
files['MANIFEST.json'] = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);

const differing = [];
mkdirSync(target, { recursive: true });
for (const [name, bytes] of Object.entries(files)) {
  const path = join(target, name);
  if (check) {
    if (!existsSync(path) || !readFileSync(path).equals(bytes)) differing.push(name);
  } else {
    writeFileSync(path, bytes);
  }
}
console.log(
  `${packages.length} packages, graph3d.js ${(code.length / 1000).toFixed(0)} KB, sha256 ${sha256(code).slice(0, 12)}…`,
);
if (differing.length) {
  console.error(`error: differs from the committed files: ${differing.join(', ')}`);
  process.exit(1);
}
console.log(
  check ? 'The committed files are what this builds.' : `Written to ui/vendor: ${Object.keys(files).join(', ')}`,
);
