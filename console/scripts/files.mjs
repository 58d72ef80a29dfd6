// Writes what follows from which files there are: src/console/files.rs, the table of embedded files (a Rust test tells when it is
// stale), and in index.html the modules that the page begins with, so that they are fetched side by side rather than one after the other.

import { readFile, readdir, writeFile } from 'node:fs/promises';

const root = new URL('../', import.meta.url);
const names = ['favicon.svg', 'index.html'];
for (const folder of ['css', 'js', 'vendor']) {
  for (const entry of await readdir(new URL(`${folder}/`, root), { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) names.push(`${(entry.parentPath ?? entry.path).slice(root.pathname.length).replace(/\/?$/, '/')}${entry.name}`);
  }
}
const rows = names.sort().map((name) => `    ("${name}", include_bytes!("../../console/${name}")),`);
await writeFile(new URL('../src/console/files.rs', root), `//! The console's files. Made by \`npm run files\` in \`console/\`.

/// Name and content of every file.
#[rustfmt::skip]
pub(super) const FILES: &[(&str, &[u8])] = &[
${rows.join('\n')}
];
`);

/** The modules that `name` imports at once, itself first. */
async function imported(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  const text = await readFile(new URL(name, root), 'utf8');
  // A minified file has its imports in one line with everything else; none that is vendored has any but the client's.
  for (const [, from] of text.matchAll(/^(?:import|export)\s[^;]*?from '(\.[^']+)'/gm)) await imported(new URL(from, new URL(name, root)).pathname.slice(root.pathname.length), found);
  return found;
}
const page = new URL('index.html', root);
const html = await readFile(page, 'utf8');
const links = [...await imported('js/main.js')].slice(1).sort().map((name) => `    <link rel="modulepreload" href="${name}">\n`);
await writeFile(page, html.replace(/( {4}<link rel="modulepreload"[^\n]*\n)*(?= {4}<script type="module")/, links.join('')));
