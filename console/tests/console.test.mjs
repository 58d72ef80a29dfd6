// The console in a real browser, the gateway and Claude Code behind it; only the model is scripted.
// SCREENSHOTS=1 also writes docs/screenshots. CONSOLE_FROM_DISK=1 takes the console's files from the disk.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { openPage, serve, startBrowser, startGateway } from './support.mjs';

let gateway;
let browser;
let proxy;
let url;
const open = [];

before(async () => {
  [gateway, browser] = await Promise.all([startGateway(), startBrowser()]);
  proxy = await serve(gateway.address, { prefix: '/tools/claude' });
  url = process.env.CONSOLE_FROM_DISK ? (await serve(gateway.address)).url : gateway.url;
});
after(async () => {
  await browser?.close();
  await proxy?.close();
  await gateway?.stop();
  // Servers for single tests may be left when one failed.
  setTimeout(() => process.exit(), 500).unref();
});
afterEach(async () => {
  for (const chat of open.splice(0)) await chat.close();
});

async function visit(at = url, options = {}) {
  const chat = await openPage(browser, at, options);
  open.push(chat);
  return chat;
}

describe('a conversation', () => {
  test('shows an answer whose stream broke once', async () => {
    const chat = await visit();
    await chat.start();
    await chat.say('broken');
    await chat.turnEnds(1);
    assert.equal(await chat.page.getByText('This answer breaks').count(), 1);
    assert.equal(await chat.page.locator('.entry.assistant').count(), 1);
    await chat.page.reload();
    await chat.page.getByText('and then comes whole.').waitFor();
    assert.equal(await chat.page.getByText('This answer breaks').count(), 1);
  });

  test('streams Markdown, folds thinking, asks, shows a tool, and can be read again after a reload', async () => {
    const chat = await visit();
    await chat.page.getByRole('heading', { name: 'What shall we work on?' }).waitFor();
    await chat.shot('welcome');
    await chat.start('Stock keeping');
    await chat.say('think');
    await chat.turnEnds(1);
    await chat.page.getByText('the answer is 42').waitFor();
    const thinking = chat.page.getByText('I consider it from two sides');
    assert.equal(await thinking.isVisible(), false);
    await chat.page.getByText('Thought about it', { exact: true }).click();
    assert.equal(await thinking.isVisible(), true);

    await chat.say('touch stock.txt');
    await chat.prompt().waitFor();
    assert.match(await chat.pill.textContent(), /Waits for you/);
    await chat.page.getByRole('heading', { name: 'Allow Bash?' }).waitFor();
    await chat.page.locator('.tool[data-status="waiting"]').waitFor();
    await chat.shot('permission');
    await chat.button('Always …').click();
    await chat.page.getByText('For the rest of this session').waitFor();
    await chat.button('Always …').click();
    await chat.page.getByRole('button', { name: /^Allow/ }).first().click();
    await chat.turnEnds(2);
    assert.ok(existsSync(join(gateway.workspace, 'stock.txt')));
    await chat.page.locator('.tool[data-status="done"]').waitFor();

    const before = await chat.page.locator('.entries').innerText();
    await chat.page.reload();
    await chat.turnEnds(2);
    assert.equal(await chat.page.locator('.entries').innerText(), before.replace(/Thought about it\n+.*two sides.*\n+/, 'Thought about it\n\n'));
    assert.equal(await chat.page.locator('.sidebar [aria-current]').textContent().then((text) => text.includes('Stock keeping')), true);
  });

  test('goes on through a reload in mid-turn, and is stopped and taken up again', async () => {
    const chat = await visit();
    await chat.start('Slow');
    await chat.say('slow');
    await chat.page.getByText('Line 2 of 120').waitFor();
    await chat.page.reload();
    await chat.page.getByText('Line 4 of 120').waitFor();
    assert.equal(await chat.page.locator('.entry.user').count(), 1);
    assert.equal((await chat.page.locator('.prose').innerText()).match(/Line 1 of 120/g).length, 1);
    await chat.say('hello');
    await chat.page.getByText('Queued').waitFor();
    await chat.shot('streaming');
    await chat.button('Take it back').click();
    await chat.page.getByText('Cancelled').waitFor();
    await chat.message.press('Escape');
    await chat.page.getByText(/^Interrupted after/).waitFor();
    await chat.button('Go on with it').click();
    await chat.page.getByText('I go on where I was stopped').waitFor();
  });

  test('follows a fast long text to its end, and stays where the reader scrolled to', async () => {
    const chat = await visit();
    await chat.start('Long');
    await chat.say('count 1500');
    await chat.turnEnds(1);
    await chat.page.getByText('1500: the quick brown fox').waitFor();
    await chat.page.waitForFunction(() => {
      const { scrollHeight, scrollTop, clientHeight } = document.querySelector('.scroller');
      return scrollHeight - scrollTop - clientHeight < 80;
    });
    await chat.page.locator('.scroller').hover();
    await chat.page.mouse.wheel(0, -3000);
    await chat.button('Latest').waitFor();
    await chat.say('hello');
    await chat.turnEnds(2);
    await chat.button('Latest').click();
    await chat.page.getByText('Hello! I am a scripted model').waitFor();
  });

  test('comes back from a broken connection with nothing missing', async () => {
    const chat = await visit(proxy.url);
    await chat.start('Cut');
    await chat.say('slow');
    await chat.page.getByText('Line 2 of 120').waitFor();
    const cuts = 3;
    for (let cut = 1; cut <= cuts; cut += 1) {
      proxy.cut();
      await chat.page.getByText(`Line ${2 + cut * 2} of 120`).waitFor();
    }
    const lines = [...(await chat.page.locator('.prose').innerText()).matchAll(/Line (\d+) of 120/g)].map(([, line]) => Number(line));
    assert.deepEqual(lines, lines.map((_, at) => at + 1));
    await chat.button('Stop').click();
    await chat.page.getByText(/^Interrupted after/).waitFor();
  });
});

describe('Markdown', () => {
  /** Has the model say this. */
  const draw = async (chat, text) => {
    await chat.start();
    await chat.say(`echo ${text}`);
    await chat.turnEnds(1);
  };

  test('a list goes on with its numbers after code, and a table keeps its alignment', async () => {
    const chat = await visit();
    await draw(chat, 'First\n\n1. one\n\n```sh\nls\n```\n\n2. two\n3. three\n\n| a | b | c |\n| :-- | :-: | --: |\n| 1 | 2 | 3 |\n');
    // What came last of a text may be drawn a little later than its end is.
    await chat.page.locator('.prose td').nth(2).waitFor();
    assert.deepEqual(await chat.page.locator('.prose ol').evaluateAll((lists) => lists.map(({ start }) => start)), [1, 2]);
    const aligned = await chat.page.locator('.prose td').evaluateAll((cells) => cells.map((cell) => getComputedStyle(cell).textAlign));
    assert.deepEqual(aligned, ['left', 'center', 'right']);
  });

  test('words in a table stay whole on a phone: the table scrolls', async () => {
    const chat = await visit(url, { viewport: { width: 390, height: 780 } });
    const words = ['Configuration', 'Responsibility', 'Interoperability', 'Authentication'];
    await draw(chat, `Words:\n\n| ${words.join(' | ')} |\n|${' --- |'.repeat(4)}\n| ${words.join(' | ')} |\n`);
    await chat.page.locator('.prose td').nth(3).waitFor();
    const lines = await chat.page.locator('.prose th, .prose td').evaluateAll((cells) => cells.map((cell) => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      return range.getClientRects().length;
    }));
    assert.deepEqual(lines, lines.map(() => 1));
    assert.equal(await chat.page.evaluate(() => document.documentElement.scrollWidth > 390), false);
  });
});

describe('prompts', () => {
  test('denies with a reason, which the model reads', async () => {
    const chat = await visit();
    await chat.start();
    await chat.say('touch no.txt');
    await chat.prompt().waitFor();
    await chat.key('n');
    await chat.page.getByLabel('Reason').fill('not on a Friday');
    await chat.button('Deny').click();
    await chat.turnEnds(1);
    await chat.page.locator('.tool[data-status="denied"]').waitFor();
    await chat.page.locator('.prose', { hasText: 'not on a Friday' }).waitFor();
    assert.equal(existsSync(join(gateway.workspace, 'no.txt')), false);
  });

  test('allows with an edited input, and refuses to send what is no JSON', async () => {
    const chat = await visit();
    await chat.start();
    await chat.say('touch before.txt');
    await chat.button('Edit …').click();
    const editor = chat.page.getByLabel('Input as JSON');
    await editor.fill('{"command": ');
    await chat.page.locator('.prompt .problem').filter({ hasText: /\S/ }).waitFor();
    assert.equal(await chat.button('Allow with this input').isDisabled(), true);
    await editor.fill('{"command": "touch after.txt"}');
    await chat.button('Allow with this input').click();
    await chat.turnEnds(1);
    assert.ok(existsSync(join(gateway.workspace, 'after.txt')));
  });

  test('shows several at once, each answered by itself', async () => {
    const chat = await visit();
    await chat.start('Side by side');
    await chat.say('two');
    await chat.prompt(1).waitFor();
    await chat.shot('two-prompts');
    await chat.prompt(1).getByRole('button', { name: /^Deny/ }).click();
    await chat.button('Deny').click();
    await chat.page.waitForFunction(() => document.querySelectorAll('.prompt').length === 1);
    await chat.prompt(0).getByRole('button', { name: /^Allow/ }).click();
    await chat.turnEnds(1);
    assert.equal(await chat.page.locator('.tool[data-status="denied"]').count(), 1);
  });

  test('answers a question', async () => {
    const chat = await visit(url, { colorScheme: 'dark' });
    await chat.start('Colours');
    await chat.say('question');
    await chat.page.getByText('Which colour do you like?').last().waitFor();
    assert.equal(await chat.button('Send answer').isDisabled(), true);
    await chat.page.getByLabel('Blue').check();
    await chat.shot('question-dark');
    await chat.button('Send answer').click();
    await chat.turnEnds(1);
    await chat.page.locator('.prose', { hasText: 'Blue' }).waitFor();
  });

  test('goes ahead with a plan, with edits accepted', async () => {
    const chat = await visit();
    await chat.start();
    await chat.page.getByLabel('Permission mode').selectOption('plan');
    await chat.say('plan');
    await chat.page.getByRole('heading', { name: 'Go ahead with this plan?' }).waitFor();
    await chat.prompt().locator('.prose').filter({ hasText: /\S/ }).waitFor();
    await chat.shot('plan');
    await chat.button('Go ahead, accept edits').click();
    await chat.turnEnds(1);
    await chat.page.waitForFunction(() => document.querySelector('[aria-label="Permission mode"]').value === 'auto');
  });

  test('stays open over a reload, and is closed when another page answers', async () => {
    const chat = await visit();
    await chat.start();
    await chat.say('touch elsewhere.txt');
    await chat.prompt().waitFor();
    await chat.page.reload();
    await chat.prompt().waitFor();
    const other = await visit(chat.page.url());
    await other.prompt().getByRole('button', { name: /^Allow/ }).click();
    await chat.turnEnds(1);
    assert.equal(await chat.page.locator('.prompt').count(), 0);
  });
});

describe('what comes from outside stays text', () => {
  const ATTACK = '<img src=x onerror="document.title=`pwned`"><script>document.title="pwned"</script>'
    + '<a href="javascript:document.title=1">a</a> [link](javascript:document.title=`pwned`) ![p](https://example.invalid/p.png)';

  test('in what the model says', async () => {
    const chat = await visit();
    await chat.start();
    await chat.say(`echo ${ATTACK}`);
    await chat.turnEnds(1);
    const prose = chat.page.locator('.prose');
    // What came last of a text may be drawn a little later than its end is.
    await prose.filter({ hasText: '<script>document.title="pwned"</script>' }).waitFor();
    assert.equal(await chat.page.locator('.entries img, .entries script, .entries a[href^="javascript"]').count(), 0);
    assert.equal(await prose.locator('a').getAttribute('href'), 'https://example.invalid/p.png');
    assert.doesNotMatch(await chat.page.title(), /pwned/);
    // What the user wrote is text as well.
    assert.ok((await chat.page.locator('.bubble').innerText()).includes('<img src=x'));
  });

  test('in tool input and output', async () => {
    await writeFile(join(gateway.workspace, 'attack.html'), ATTACK);
    const chat = await visit();
    await chat.start('Injection');
    await chat.say('run cat attack.html # <img src=x onerror=alert(1)>');
    // Reading needs no leave; where it is asked for, it is given.
    await Promise.race([chat.turnEnds(1), chat.prompt().waitFor().then(() => chat.key('y'))]);
    await chat.turnEnds(1);
    await chat.page.locator('.tool > summary').click();
    const output = chat.page.locator('.tool-result');
    assert.ok((await output.innerText()).includes('<script>document.title="pwned"</script>'));
    assert.equal(await chat.page.locator('.tool img, .tool script').count(), 0);
    assert.doesNotMatch(await chat.page.title(), /pwned/);
    await chat.shot('injection');
  });

  test('and nothing inline would run', async () => {
    const chat = await visit();
    const blocked = await chat.page.evaluate(() => new Promise((resolve) => {
      document.addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective));
      const script = document.createElement('script');
      try {
        script.textContent = 'document.title = "pwned"';
        document.body.append(script);
      } catch {
        resolve('refused');
      }
    }));
    assert.match(blocked, /script|refused|trusted/);
    chat.errors.splice(0); // The violation was wanted.
  });
});

describe('the rest', () => {
  test('runs the client tool in the browser', async () => {
    const chat = await visit();
    await chat.start();
    await chat.say('client browser_time_zone {}');
    await chat.turnEnds(1);
    await chat.page.locator('.prose', { hasText: 'Europe/Lisbon' }).waitFor();
    await chat.page.locator('.tool-status', { hasText: 'in this browser' }).waitFor();
  });

  test('nests a subagent, shows failures, cost and usage', async () => {
    const chat = await visit();
    await chat.start('Delegation');
    await chat.say('subagent');
    await chat.prompt().waitFor();
    await chat.key('y');
    await chat.turnEnds(1);
    await chat.page.locator('.tool .tool-inner .tool').first().waitFor();
    await chat.page.locator('.scroller').hover();
    await chat.page.mouse.wheel(0, -9000);
    await chat.shot('subagent');
    await chat.say('error');
    await chat.page.locator('.failure').waitFor();
    await chat.page.locator('.cost summary').click();
    await chat.page.getByText('Output tokens').waitFor();
    await chat.shot('usage');
  });

  test('a tool that the person stopped is no failure, and an error is said once', async () => {
    const chat = await visit();
    await chat.start();
    await chat.say('long');
    await chat.prompt().waitFor();
    await chat.prompt().getByRole('button', { name: /^Allow/ }).click();
    await chat.page.locator('.tool[data-status="running"]').waitFor();
    while (!existsSync(join(gateway.workspace, 'long-running'))) await chat.page.waitForTimeout(50);
    await chat.button('Stop').click();
    await chat.page.getByText(/^Interrupted after/).waitFor();
    await chat.page.locator('.tool[data-status="cancelled"] .tool-status', { hasText: 'Stopped' }).waitFor();
    assert.equal(await chat.page.locator('.tool[data-status="failed"], .tool-result.is-error').count(), 0);
    await chat.say('error');
    await chat.page.locator('.failure').waitFor();
    const text = await chat.page.locator('.entries').innerText();
    assert.equal(text.match(/The scripted model was asked to fail/g).length, 1, text);
  });

  test('shows what goes on in the background, its output, and stops it', async () => {
    const chat = await visit();
    await chat.start('Beside');
    await chat.say('tool {"name":"Bash","input":{"command":"while :; do echo tick; sleep 1; done","description":"Tick","run_in_background":true}}');
    await chat.prompt().waitFor();
    await chat.prompt().getByRole('button', { name: /^Allow/ }).click();
    await chat.turnEnds(1);
    const panel = chat.page.locator('.tasks');
    await panel.getByText('In the background').click();
    await panel.getByRole('button', { name: 'Output' }).click();
    await panel.locator('.source', { hasText: /tick|nothing yet/ }).waitFor();
    await chat.page.reload();
    await panel.getByText('In the background').click();
    await panel.getByRole('button', { name: 'Stop this task' }).click();
    await panel.waitFor({ state: 'hidden' });
    await chat.page.locator('.tool[data-task="stopped"]').first().waitFor();
  });

  test('sends a running command to the background', async () => {
    const chat = await visit();
    await chat.start();
    await chat.say('long');
    await chat.prompt().waitFor();
    await chat.prompt().getByRole('button', { name: /^Allow/ }).click();
    await chat.button('Go on without the running tool').click();
    await chat.page.locator('.tasks').waitFor();
    await chat.turnEnds(1);
    await chat.page.locator('.tasks summary').click();
    await chat.button('Stop this task').click();
    await chat.page.locator('.tasks').waitFor({ state: 'hidden' });
  });

  test('marks where the conversation began anew', async () => {
    const chat = await visit();
    await chat.start();
    await chat.say('echo one');
    await chat.turnEnds(1);
    await chat.say('/clear');
    await chat.page.locator('.entry.reset', { hasText: 'Claude knows nothing of what stands above' }).waitFor();
    await chat.page.reload();
    await chat.page.locator('.entry.reset').waitFor();
  });

  test('the cross closes the view: the session goes on', async () => {
    const chat = await visit();
    await chat.start('Left alone');
    await chat.say('wait');
    await chat.page.locator('.entry.user').waitFor();
    await chat.button('Close (the session goes on)').click();
    await chat.page.getByRole('heading', { name: 'What shall we work on?' }).waitFor();
    assert.equal(await chat.page.evaluate(() => location.hash), '');
    await chat.page.locator('.sidebar').getByText('Left alone').click();
    await chat.turnEnds(1);
    assert.equal(await chat.page.getByPlaceholder('Message Claude').isVisible(), true);
  });

  test('switches mode and model', async () => {
    const chat = await visit();
    await chat.start();
    // A session that never ran a turn is gone with its last connection.
    await chat.say('hello');
    await chat.turnEnds(1);
    await chat.page.getByLabel('Permission mode').selectOption('plan');
    await chat.page.getByLabel('Model', { exact: true }).first().selectOption('haiku');
    await chat.page.waitForFunction(() => document.querySelector('select[aria-label="Model"]').value === 'haiku');
    await chat.page.reload();
    await chat.page.waitForFunction(() => document.querySelector('[aria-label="Permission mode"]').value === 'plan');
    assert.equal(await chat.page.locator('select[aria-label="Model"]').inputValue(), 'haiku');
  });

  test('fits a phone', async () => {
    const chat = await visit(url, { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
    await chat.page.getByRole('button', { name: 'New session' }).last().click();
    await chat.page.getByLabel('Name').fill('On the train');
    await chat.button('Start').click();
    await chat.say('help');
    await chat.turnEnds(1);
    await chat.say('write notes.md');
    await chat.prompt().waitFor();
    const sideways = await chat.page.evaluate(() => document.documentElement.scrollWidth > 390);
    assert.equal(sideways, false);
    await chat.shot('phone');
    await chat.prompt().getByRole('button', { name: /^Allow/ }).click();
    await chat.turnEnds(2);
    await chat.button('Sessions').click();
    await chat.page.locator('.sidebar').getByText('On the train').waitFor();
  });

  test('works under a path prefix', async () => {
    const chat = await visit(proxy.url);
    await chat.start();
    await chat.say('hello');
    await chat.page.getByText('Hello! I am a scripted model').waitFor();
  });

  test('ends a session, and the others are in the list', async () => {
    const chat = await visit();
    await chat.start('To be ended');
    await chat.page.getByLabel('More', { exact: true }).click();
    await chat.button('End session …').click();
    await chat.page.getByRole('dialog').getByRole('button', { name: 'End session' }).click();
    await chat.page.getByPlaceholder('This session has ended').waitFor();
    assert.ok(await chat.page.locator('.sessions li').count() > 3);
  });

  test('shows the last of the sessions that were picked in quick succession', async () => {
    const chat = await visit();
    const ids = [];
    for (const name of ['First pick', 'Second pick', 'Before']) {
      await chat.start(name);
      await chat.say(`echo I am ${name}`);
      await chat.turnEnds(1);
      await chat.page.waitForFunction((known) => location.hash.length > 1 && !known.includes(location.hash), ids);
      ids.push(await chat.page.evaluate(() => location.hash));
    }
    // Both changes are told to the page before the first of them has an answer.
    await chat.page.evaluate(([first, second]) => {
      location.hash = first;
      location.hash = second;
    }, ids);
    await chat.page.locator('.prose', { hasText: 'I am Second pick' }).waitFor();
    for (const at of [0, 1, 0, 2, 0]) await chat.page.evaluate((id) => { location.hash = id; }, ids[at]);
    await chat.page.locator('.prose', { hasText: 'I am First pick' }).waitFor();
    await chat.turnEnds(1);
    assert.equal(await chat.page.locator('.toast').count(), 0);
    assert.equal(await chat.page.evaluate(() => location.hash), ids[0]);
    // Left and opened again on the same connection: all of it is there, once.
    assert.equal(await chat.page.locator('.prose').count(), 1);
    assert.equal(await chat.page.locator('.entry.user').count(), 1);
  });

  test('starts one session, however often the button is pressed, and is ready to be written to', async () => {
    const chat = await visit();
    await chat.page.getByRole('button', { name: 'New session' }).last().click();
    await chat.page.getByLabel('Name').fill('Pressed thrice');
    await chat.page.evaluate(() => {
      const form = document.querySelector('dialog[open] form');
      for (let times = 0; times < 3; times += 1) form.requestSubmit();
    });
    await chat.page.getByRole('dialog').waitFor({ state: 'hidden' });
    await chat.page.keyboard.type('hello');
    await chat.page.keyboard.press('Enter');
    await chat.turnEnds(1);
    assert.equal(await chat.page.locator('.sidebar').getByText('Pressed thrice').count(), 1);
  });

  test('takes an address that names no session', async () => {
    const chat = await visit(`${url}#%`);
    await chat.page.getByRole('heading', { name: 'What shall we work on?' }).waitFor();
    await chat.start();
    await chat.page.waitForFunction(() => location.hash.length > 2);
    await chat.page.evaluate(() => { location.hash = '#%zz'; });
    await chat.say('hello');
    await chat.turnEnds(1);
  });

  test('asks for the token where the gateway wants one, and keeps it in the tab', async () => {
    const file = join(gateway.home, 'tokens');
    await writeFile(file, 'alice:open-sesame-1234567890\n', { mode: 0o600 });
    const guarded = await startGateway(['--auth-token-file', file]);
    const front = process.env.CONSOLE_FROM_DISK ? await serve(guarded.address) : { url: guarded.url, close() {} };
    try {
      const chat = await visit(front.url);
      await chat.page.getByLabel('Token', { exact: true }).last().fill('wrong');
      await chat.button('Connect').click();
      await chat.page.getByText('was refused').waitFor();
      await chat.page.locator('input[type=password]').fill('open-sesame-1234567890');
      await chat.button('Connect').click();
      await chat.start();
      await chat.say('hello');
      await chat.page.getByText('Hello! I am a scripted model').waitFor();
      assert.doesNotMatch(chat.page.url(), /sesame/);
      await chat.page.reload();
      await chat.page.getByText('Hello! I am a scripted model').waitFor();
      await chat.close();
      open.splice(0);
    } finally {
      await front.close();
      await guarded.stop();
    }
  });
});
