// vendor/ has to be what the client library compiles to, and what the pinned packages hold.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('the vendored files are fresh', () => {
  const { status, stderr } = spawnSync('npm', ['run', '--silent', 'vendor:check'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});
