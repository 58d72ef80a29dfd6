// Writes src/console/files.rs, the table of embedded files. A Rust test tells when it is stale.

import { readdir, writeFile } from 'node:fs/promises';

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
