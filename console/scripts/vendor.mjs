// Copies what the console loads besides its own modules into vendor/, with the licences. `--check`: only tells whether
// vendor/ is what it would be.

import { readFile, readdir, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

const root = new URL('../', import.meta.url);
const client = new URL('../clients/typescript/', root);

/** Source maps stay behind: they would be half of the bytes in the binary. */
const withoutMap = (text) => text.replace(/^\/\/# sourceMappingURL=.*\n?/m, '');

const files = new Map();
for (const name of await readdir(new URL('dist/', client), { recursive: true })) {
  if (!name.endsWith('.js')) continue;
  const text = withoutMap(await readFile(new URL(`dist/${name}`, client), 'utf8'));
  // Modules of types only are empty, and imported by nobody.
  if (!/^(export \{\};|\s|\/\/.*)*$/.test(text)) files.set(`claude-ws-client/${name}`, text);
}
files.set('claude-ws-client/LICENSE', await readFile(new URL('LICENSE', client), 'utf8'));
const module = (path) => readFile(new URL(`node_modules/${path}`, root), 'utf8').then(withoutMap);
files.set('marked/marked.js', await module('marked/lib/marked.esm.js'));
files.set('marked/LICENSE', await module('marked/LICENSE.md').catch(() => module('marked/LICENSE')));
files.set('dompurify/purify.js', await module('dompurify/dist/purify.es.mjs'));
files.set('dompurify/LICENSE', await module('dompurify/LICENSE'));

const { GRAMMARS } = await import('../js/grammars.js');
const highlight = (path) => module(`@highlightjs/cdn-assets/${path}`);
files.set('highlight/core.js', await highlight('es/core.min.js'));
files.set('highlight/LICENSE', await highlight('LICENSE'));
for (const name of Object.keys(GRAMMARS)) files.set(`highlight/languages/${name}.js`, await highlight(`es/languages/${name}.min.js`));

const vendor = new URL('vendor/', root);
if (process.argv.includes('--check')) {
  const present = (await readdir(vendor, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const stale = [];
  for (const [name, text] of files) {
    if ((await readFile(new URL(name, vendor), 'utf8').catch(() => undefined)) !== text) stale.push(name);
  }
  if (present.length !== files.size || stale.length > 0) {
    console.error(`console/vendor is stale (${stale.join(', ') || 'files too many'}): run \`npm run vendor\``);
    process.exit(1);
  }
} else {
  await rm(vendor, { recursive: true, force: true });
  for (const [name, text] of files) {
    const target = new URL(name, vendor);
    await mkdir(dirname(target.pathname), { recursive: true });
    await writeFile(target, text);
  }
}
