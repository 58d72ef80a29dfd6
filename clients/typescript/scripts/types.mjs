// Makes src/schema.ts from the gateway's JSON Schema. `--check`: fails when the file is stale instead of writing it.

import { readFile, writeFile } from 'node:fs/promises';
import { compile } from 'json-schema-to-typescript';

const source = new URL('../../../docs/protocol.schema.json', import.meta.url);
const target = new URL('../src/schema.ts', import.meta.url);

/** Kinds of objects whose further fields are somebody else's to define. */
const OPEN = ['ContentBlock', 'AgentRuleUpdate'];

/** What the generator cannot say in TypeScript, or says badly, in a form that it says well. */
function simplify(node) {
  if (Array.isArray(node)) return node.map(simplify);
  if (typeof node !== 'object' || node === null) return node;
  // Conditions between fields are for validators.
  const { if: _if, then: _then, else: _else, not: _not, dependentRequired: _dependent, ...rest } = node;
  // `null` is taken for "absent" on the way in; the types say "absent" only.
  if (Array.isArray(rest.type)) {
    const types = rest.type.filter((type) => type !== 'null');
    rest.type = types.length === 1 ? types[0] : types;
  }
  if (rest.anyOf) {
    rest.anyOf = rest.anyOf.filter((option) => option.type !== 'null' && !Object.keys(option).every((key) => key === 'required'));
    if (rest.anyOf.length === 1) {
      rest.allOf = rest.anyOf;
      delete rest.anyOf;
    } else if (rest.anyOf.length === 0) delete rest.anyOf;
  }
  // Beside `$ref`, other keywords make the generator copy the type it points to.
  if (rest.$ref && Object.keys(rest).length > 1) {
    const { $ref, description, default: _default, ...others } = rest;
    return simplify({
      ...(description ? { description } : {}),
      allOf: [{ $ref }, ...(Object.keys(others).length > 0 ? [others] : [])],
    });
  }
  return Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, simplify(value)]));
}

const schema = simplify(JSON.parse(await readFile(source, 'utf8')));
for (const name of OPEN) schema.$defs[name].additionalProperties = true;
schema.$defs.ClientTool.properties.input_schema.additionalProperties = true;
// The other spelling is for those who bring ACP messages; one is enough to type.
delete schema.$defs.ClientNewSession.properties.mcpServers;
schema.$defs.ClientNewSession.required.push('mcp_servers');
schema.title = 'WireMessage';

const types = await compile(schema, 'WireMessage', {
  bannerComment: '// Made from docs/protocol.schema.json by `npm run types`. Do not edit.',
  // The wire is open to new fields; the types name those that are known.
  additionalProperties: false,
  // Descriptions of the Rust types end up as doc comments; their lengths and patterns are for the gateway to check.
  ignoreMinAndMaxItems: true,
  style: { singleQuote: true, printWidth: 120 },
});

if (process.argv.includes('--check')) {
  if ((await readFile(target, 'utf8').catch(() => '')) !== types) {
    console.error('src/schema.ts is stale: run `npm run types`');
    process.exit(1);
  }
} else {
  await writeFile(target, types);
}
