// What is written, and what goes with it: files chosen, dropped and pasted, and what was said before.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { openPage, serve, startBrowser, startGateway } from './support.mjs';

let gateway;
let browser;
let front;
let chat;
let sent;

before(async () => {
  [gateway, browser] = await Promise.all([startGateway(), startBrowser()]);
  front = process.env.CONSOLE_FROM_DISK ? await serve(gateway.address) : { url: gateway.url, close() {} };
});
after(async () => {
  await browser?.close();
  await front?.close();
  await gateway?.stop();
});
afterEach(() => chat.close());

/** A session; `sent` has what the page sends of user messages. */
async function begin() {
  chat = await openPage(browser, 'about:blank');
  sent = [];
  chat.page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => {
    const message = JSON.parse(payload);
    if (message.type === 'user_message') sent.push(message.content);
  }));
  await chat.page.goto(front.url);
  await chat.start();
}

const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
const PDF = Buffer.from('%PDF-1.1\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n'
  + '3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n');

/** Drops or pastes files, as the browser would tell it. */
const give = (kind, selector, files) => chat.page.evaluate(([type, target, list]) => {
  const data = new DataTransfer();
  for (const { name, mime, bytes } of list) data.items.add(new File([Uint8Array.from(atob(bytes), (char) => char.charCodeAt(0))], name, { type: mime }));
  const init = { bubbles: true, cancelable: true };
  const node = document.querySelector(target);
  if (type === 'paste') node.dispatchEvent(new ClipboardEvent('paste', { ...init, clipboardData: data }));
  else for (const step of ['dragenter', 'dragover', 'drop']) node.dispatchEvent(new DragEvent(step, { ...init, dataTransfer: data }));
}, [kind, selector, files.map(({ name, mimeType, buffer }) => ({ name, mime: mimeType, bytes: buffer.toString('base64') }))]);

test('images, PDFs and text files go with a message, however they come', async () => {
  await begin();
  await chat.page.getByLabel('Files', { exact: true }).setInputFiles({ name: 'dot.png', mimeType: 'image/png', buffer: PNG });
  await chat.button('Remove dot.png').waitFor();
  await give('drop', '.scroller', [{ name: 'paper.pdf', mimeType: 'application/pdf', buffer: PDF }]);
  await chat.button('Remove paper.pdf').waitFor();
  assert.equal(await chat.page.locator('main.dropping').count(), 0);
  await give('paste', '.composer textarea', [{ name: 'notes.md', mimeType: 'text/markdown', buffer: Buffer.from('# Größe\n') }]);
  await chat.button('Remove notes.md').waitFor();
  await give('paste', '.composer textarea', [{ name: 'gone.txt', mimeType: 'text/plain', buffer: Buffer.from('x') }]);
  await chat.button('Remove gone.txt').click();
  await chat.shot('attachments');
  await chat.say('hello');
  await chat.turnEnds(1);
  assert.deepEqual(sent, [[
    { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG.toString('base64') } },
    { type: 'document', title: 'paper.pdf', source: { type: 'base64', media_type: 'application/pdf', data: PDF.toString('base64') } },
    { type: 'document', title: 'notes.md', source: { type: 'text', media_type: 'text/plain', data: '# Größe\n' } },
    { type: 'text', text: 'hello' },
  ]]);
  assert.equal(await chat.page.locator('.previews button').count(), 0);
  await chat.page.locator('.bubble', { hasText: 'paper.pdf' }).locator('img').waitFor();
  await chat.page.locator('.entry.result[data-subtype="success"]').waitFor();
});

test('what cannot go along is said: another kind of file, one that is too large', async () => {
  await begin();
  await chat.page.getByLabel('Files', { exact: true }).setInputFiles([
    { name: 'a.zip', mimeType: 'application/zip', buffer: Buffer.from([0x50, 0x4b, 3, 4, 0, 0xff]) },
    { name: 'large.txt', mimeType: 'text/plain', buffer: Buffer.alloc(9 << 20, 'x') },
  ]);
  await chat.page.getByText('a.zip is neither an image (PNG, JPEG, GIF, WebP), a PDF, nor text').waitFor();
  await chat.page.getByText('large.txt is too large for this message').waitFor();
  assert.equal(await chat.button('Send').isDisabled(), true);
});

test('up and down bring back what was said, and the draft', async () => {
  await begin();
  for (const [at, text] of ['echo one', 'echo two\nand more', 'echo two\nand more'].entries()) {
    await chat.say(text);
    await chat.turnEnds(at + 1);
  }
  const value = () => chat.message.inputValue();
  await chat.message.press('ArrowUp');
  assert.equal(await value(), 'echo two\nand more');
  await chat.message.press('ArrowUp');
  assert.equal(await value(), 'echo one');
  await chat.message.press('ArrowUp');
  assert.equal(await value(), 'echo one');
  await chat.message.press('ArrowDown');
  await chat.message.press('ArrowDown');
  assert.equal(await value(), '');
  // In a text of one's own the arrows move the caret.
  await chat.message.fill('mine');
  await chat.message.press('ArrowUp');
  assert.equal(await value(), 'mine');
  await chat.message.press('Home');
  await chat.message.press('ArrowUp');
  assert.equal(await value(), 'echo two\nand more');
  await chat.message.press('ArrowDown');
  await chat.message.press('ArrowDown');
  assert.equal(await value(), 'mine');
});
