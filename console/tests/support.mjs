// What the browser tests share: a gateway with its scripted model, a browser, and ways to talk to the page.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, mkdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { serve } from '../scripts/dev.mjs';

const SHOTS = fileURLToPath(new URL('../../docs/screenshots/', import.meta.url));
const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

/** The gateway, `--demo`, with `/` served by it; CONSOLE_FROM_DISK=1: from the disk instead. */
export async function startGateway(more = []) {
  const binary = process.env.CLAUDE_WS_BIN ?? fileURLToPath(new URL('../../target/debug/claude-ws', import.meta.url));
  assert.ok(existsSync(binary), `no gateway at ${binary}: build it, or set CLAUDE_WS_BIN`);
  const home = await realpath(await mkdtemp(join(tmpdir(), 'claude-ws-console-')));
  const workspace = join(home, 'shop');
  await mkdir(workspace);
  const claude = process.env.CLAUDE_WS_CLAUDE_BIN;
  const child = spawn(binary, [
    '--demo', '--bind', '127.0.0.1:0', '--workspace-root', workspace, '--ephemeral', ...(claude ? ['--claude-bin', claude] : []), ...more,
  ], { cwd: workspace, stdio: ['ignore', 'pipe', 'pipe'] });
  const address = await new Promise((found, failed) => {
    let said = '';
    const listen = (chunk) => {
      said += chunk;
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said);
      if (url) found(url[0]);
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.once('error', failed);
    child.once('exit', (code) => failed(new Error(`the gateway ended with ${code}:\n${said}`)));
  });
  return {
    address,
    url: `${address}/`,
    home,
    workspace,
    async stop() {
      const gone = new Promise((done) => child.once('exit', done));
      // Twice: the first asks running turns to finish, the second does not wait for them.
      child.kill('SIGTERM');
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await gone;
      await rm(home, { recursive: true, force: true });
    },
  };
}

export { serve };

export async function startBrowser() {
  assert.ok(existsSync(CHROMIUM), `no browser at ${CHROMIUM}: install Debian's chromium, or set CHROMIUM_BIN`);
  return chromium.launch({
    executablePath: CHROMIUM,
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--force-color-profile=srgb',
    ],
  });
}

/** A page of the console that fails the test on any script error or blocked content. */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1200, height: 800 }, colorScheme: 'light', reducedMotion: 'reduce', locale: 'en-GB', timezoneId: 'Europe/Lisbon', ...options,
  });
  const page = await context.newPage();
  // It bounds a test that would hang; agents start in it too, on however slow a machine.
  page.setDefaultTimeout(Number(process.env.PATIENCE_MS ?? 120_000));
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    // A refused token shows as a failed load; that is what the test with a token is about.
    if (message.type() === 'error' && !/40[14]|WebSocket connection/.test(message.text())) errors.push(message.text());
  });
  await page.goto(url);
  return Object.assign(new Chat(page), { errors });
}

/** The console as a person uses it. */
export class Chat {
  constructor(page) {
    this.page = page;
    this.message = page.getByLabel('Message', { exact: true });
    this.pill = page.locator('.pill');
  }

  async start(title) {
    await this.page.getByRole('button', { name: 'New session' }).last().click();
    if (title) await this.page.getByLabel('Name').fill(title);
    await this.page.getByRole('button', { name: 'Start', exact: true }).click();
    // Until then the page behind it takes no input: what is typed would go to the button.
    await this.page.getByRole('dialog').waitFor({ state: 'hidden' });
    await this.message.waitFor();
  }

  async say(text) {
    await this.message.fill(text);
    await this.message.press('Enter');
  }

  /** Waits for the end of turn number `count`. */
  async turnEnds(count) {
    await this.page.locator('.entry.result').nth(count - 1).waitFor();
  }

  prompt(index = 0) {
    return this.page.locator('.prompt').nth(index);
  }

  /** Presses a key on the open prompt, as somebody does who has seen it: not in the moment in which it takes the focus. */
  async key(key) {
    await this.page.waitForTimeout(600);
    await this.prompt().press(key);
  }

  button(name) {
    return this.page.getByRole('button', { name, exact: true });
  }

  async shot(name) {
    if (!process.env.SCREENSHOTS) return;
    await mkdir(SHOTS, { recursive: true });
    await this.page.evaluate(() => document.fonts.ready);
    await this.page.screenshot({ path: join(SHOTS, `${name}.png`), animations: 'disabled', caret: 'hide' });
  }

  async close() {
    await this.page.context().close();
    assert.deepEqual(this.errors, [], 'the page had errors');
  }
}
