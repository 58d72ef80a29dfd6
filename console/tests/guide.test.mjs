// docs/first-front-end.md: its page works as it stands, but for the port.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBrowser, startGateway } from './support.mjs';

const GUIDE = new URL('../../docs/first-front-end.md', import.meta.url);

test('the first front end of the guide', async () => {
  const [, page] = /```html\n([^]*?)```/.exec(await readFile(GUIDE, 'utf8'));
  assert.ok(page.trimEnd().split('\n').length <= 50, 'as it says');
  let html;
  const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const [gateway, browser] = await Promise.all([startGateway(['--allow-origin', origin]), startBrowser()]);
  try {
    html = page.replace('ws://127.0.0.1:3000', gateway.address.replace('http', 'ws'));
    assert.notEqual(html, page);
    const tab = await browser.newPage();
    tab.setDefaultTimeout(30_000);
    const asked = [];
    tab.on('dialog', (dialog) => {
      asked.push(dialog.message());
      return dialog.accept();
    });
    const open = () => tab.waitForEvent('websocket').then((socket) => socket.waitForEvent('framereceived'));
    await Promise.all([open(), tab.goto(`${origin}/chat.html`)]);
    const said = (text) => tab.locator('#chat p', { hasText: text });
    const say = async (text) => {
      await tab.locator('input').fill(text);
      await tab.locator('input').press('Enter');
    };
    await say('touch note.txt');
    await said('The tool said').waitFor();
    assert.deepEqual(asked.map((text) => text.split('\n')[0]), ['Allow Bash?']);
    assert.ok(existsSync(join(gateway.workspace, 'note.txt')));
    await say('slow');
    await said('Line 2 of 120').waitFor();
    await tab.reload();
    await said('Line 4 of 120').waitFor();
    const text = await tab.locator('#chat').innerText();
    assert.equal(text.match(/Line 1 of 120/g).length, 1);
    assert.equal(text.match(/You: touch note.txt/g).length, 1);
    assert.equal(asked.length, 1);
  } finally {
    await browser.close();
    await gateway.stop();
    server.closeAllConnections();
    server.close();
  }
});
