// What a person is asked to allow, and what counts as an answer. The cards stand alone in a real page, with a session
// that notes what it is told.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { openPage, serve, startBrowser, startGateway } from './support.mjs';

let gateway;
let browser;
let front;
let chat;

before(async () => {
  [gateway, browser] = await Promise.all([startGateway(), startBrowser()]);
  front = process.env.CONSOLE_FROM_DISK ? await serve(gateway.address) : { url: gateway.url, close() {} };
});
after(async () => {
  await browser?.close();
  await front?.close();
  await gateway?.stop();
});
beforeEach(async () => {
  chat = await openPage(browser, front.url);
  await chat.page.getByRole('heading', { name: 'What shall we work on?' }).waitFor();
  await chat.page.evaluate(async () => {
    const { Prompts } = await import(new URL('js/prompts.js', document.baseURI).href);
    const calls = [];
    const words = [];
    const said = (name) => (...args) => {
      calls.push([name, ...args.filter((arg) => arg !== undefined)]);
      return new Promise(() => {}); // The event that would close the card is not part of this.
    };
    const app = { session: undefined, report() {} };
    const prompts = new Prompts(app, () => {}, (text) => words.push(text));
    document.body.append(prompts.node);
    const prompt = (session_id, id, tool_name, tool_input) => ({
      id, questions: undefined,
      request: { id, session_id, tool_name, tool_input, tool_use_id: 't', context: { description: '', risk_level: 'medium', suggestions: [] } },
    });
    /** Shows prompts, each `[session, id, tool, input]`. */
    const show = (list, isOther = false) => {
      const name = list[0]?.[0] ?? 'none';
      app.session = Object.fromEntries(['allow', 'respond', 'allowAlways', 'deny'].map((act) => [act, said(`${name} ${act}`)]));
      prompts.update({ prompts: list.map((item) => prompt(...item)) }, isOther);
    };
    Object.assign(window, { calls, words, show });
  });
});
afterEach(() => chat.close());

const show = (...args) => chat.page.evaluate((given) => window.show(...given), args);
const calls = () => chat.page.evaluate(() => window.calls);
const card = () => chat.page.locator('.prompt');

describe('a card shows all that will run', () => {
  const CASES = {
    Bash: { command: 'ls', description: 'Lists', timeout: 5, run_in_background: true, dangerouslyDisableSandbox: true },
    Edit: { file_path: '/w/a', old_string: 'one', new_string: 'two', replace_all: true, more: { deep: ['x'] } },
    Write: { file_path: '/w/a', content: 'text', mode: '0777' },
    Read: { file_path: '/w/a', offset: 3, limit: 4 },
    Agent: { description: 'Helps', prompt: 'Do it', subagent_type: 'general-purpose', isolation: 'none' },
    Task: { description: 'Helps', prompt: 'Do it', model: 'opus' },
    ExitPlanMode: { plan: '# The plan', allowedPrompts: [{ tool: 'Bash', prompt: 'run tests' }] },
    MultiEdit: { file_path: '/w/a', edits: [{ old_string: 'one', new_string: 'two' }] },
    // Of another form than the tool's own.
    'Bash of an odd form': { tool: 'Bash', command: ['ls'], description: { text: 'no' }, extra: 1 },
    // Fields by these names mean something else elsewhere.
    mcp__files__patch: { file_path: '/w/a', old_string: 'one', new_string: 'two', command: 'rm', force: true },
  };
  test('every field of the input is in it', async () => {
    for (const [name, { tool = name, ...input }] of Object.entries(CASES)) {
      await show([['a', `msg-${name}`, tool, input]]);
      const text = await card().locator('.prompt-input').innerText();
      for (const [key, value] of Object.entries(input)) {
        const field = card().locator(`[data-field="${key}"]`);
        assert.ok(await field.count() === 1 || text.includes(`"${key}"`), `${key} of ${name} in:\n${text}`);
        for (const word of JSON.stringify(value).match(/[\w/]+/g)) assert.ok(text.includes(word), `${word} of ${name} in:\n${text}`);
      }
    }
  });

  test('a diff is shown for the tool that makes one, not for fields of the same names', async () => {
    await show([['a', 'msg-7', 'mcp__files__patch', CASES.mcp__files__patch]]);
    assert.equal(await card().locator('.diff').count(), 0);
    await show([['a', 'msg-8', 'Edit', CASES.Edit]]);
    assert.equal(await card().locator('.diff .removed').textContent(), '− one\n');
    assert.equal(await card().locator('.diff .added').textContent(), '+ two\n');
  });

  test('characters that are not shown, or turn the text around, are marked', async () => {
    const hidden = ['\u202e', '\u2066', '\u200b', '\u200d', '\ufeff', '\u00ad', '\u3164', '\u{e0041}', '\r', '\u001b', '\u2028'];
    const command = `echo ${hidden.map((char, at) => `${at}${char}`).join('')} 👩\u200d💻❤\ufe0f\tx\n日本`;
    await show([['a', 'msg-7', 'Bash', { command, 'od\u202ed': 'va\u200blue' }]]);
    const marks = await card().locator('.unseen').allInnerTexts();
    const codes = hidden.map((char) => `⟨U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
    assert.deepEqual(marks, [...codes, '⟨U+202E⟩', '⟨U+200B⟩']);
    const text = await card().locator('[data-field="command"]').textContent();
    assert.ok(text.endsWith(' 👩\u200d💻❤\ufe0f\tx\n日本'), 'the rest is as it was');
    await chat.button('Edit …').click();
    const json = await chat.page.getByLabel('Input as JSON').inputValue();
    assert.ok(json.includes('\\u202e') && !json.includes('\u202e'));
    assert.equal(JSON.parse(json).command, command);
  });
});

describe('an answer is meant', () => {
  const ONE = ['a', 'msg-7', 'Bash', { command: 'ls' }];
  const TWO = ['a', 'msg-9', 'Bash', { command: 'rm' }];
  const focused = () => chat.page.evaluate(() => document.activeElement.className);
  /** The page moves the focus, and the key is there in the same moment. */
  const keyAtOnce = () => chat.page.evaluate(() => document.addEventListener('focusin', ({ target }) => {
    if (target.matches('.prompt')) target.dispatchEvent(new KeyboardEvent('keydown', { key: 'y', bubbles: true, cancelable: true }));
  }));

  /** A field like the composer: it gives the focus away when nothing stands in it. */
  const composer = () => chat.page.evaluate(() => {
    const field = Object.assign(document.createElement('textarea'), { className: 'writing' });
    field.dataset.yields = '';
    document.body.append(field);
    field.focus();
  });

  test('the keys count at once where nobody writes, and are shown only where they count', async () => {
    await composer();
    await show([ONE]);
    assert.match(await focused(), /prompt/);
    await card().locator('kbd').first().waitFor({ state: 'visible' });
    await chat.page.waitForTimeout(700);
    await chat.page.keyboard.press('y');
    await chat.page.waitForFunction(() => window.calls.length === 1);
    assert.deepEqual(await calls(), [['a allow', 'msg-7']]);
    await show([TWO]);
    await chat.page.locator('.writing').focus();
    await card().locator('kbd').first().waitFor({ state: 'hidden' });
  });

  test('who is writing, or was a moment ago, goes on', async () => {
    await composer();
    await chat.page.keyboard.type('a draft');
    await chat.page.waitForTimeout(1100);
    await show([ONE]);
    assert.equal(await focused(), 'writing');
    await show([]);
    await chat.page.locator('.writing').fill('');
    await chat.page.keyboard.press('Backspace');
    await show([TWO]);
    assert.equal(await focused(), 'writing');
    assert.deepEqual(await calls(), []);
  });

  test('a word that begins with an answer is no answer', async () => {
    await show([ONE]);
    await chat.page.waitForTimeout(700);
    await chat.page.keyboard.type('yo');
    assert.deepEqual(await chat.page.evaluate(() => window.words), ['yo']);
    await chat.page.waitForTimeout(400);
    assert.deepEqual(await calls(), []);
  });

  test('the focus stays in another text field, even an empty one', async () => {
    await chat.page.evaluate(() => {
      document.body.append(Object.assign(document.createElement('textarea'), { className: 'writing' }));
      document.querySelector('.writing').focus();
    });
    await show([ONE]);
    assert.equal(await focused(), 'writing');
    await chat.page.keyboard.press('y');
    assert.equal(await chat.page.locator('.writing').inputValue(), 'y');
    assert.deepEqual(await calls(), []);
  });

  test('who writes a reason is not put on the next card when this one is answered elsewhere', async () => {
    await show([ONE, TWO]);
    await card().first().getByRole('button', { name: /^Deny/ }).click();
    await chat.page.getByLabel('Reason').fill('no');
    await show([TWO]);
    await card().waitFor();
    assert.doesNotMatch(await focused(), /prompt/);
  });

  test('a key that was on its way when the focus came does not count', async () => {
    await keyAtOnce();
    await show([ONE]);
    assert.match(await focused(), /prompt/);
    // Nor does one when the focus goes on to the next card.
    await show([ONE, TWO]);
    await show([TWO]);
    assert.match(await focused(), /prompt/);
    assert.deepEqual(await calls(), []);
  });

  test('a key that is held down does not count; one that is pressed on the card does', async () => {
    await show([ONE]);
    // Later than the time in which no key counts.
    await chat.page.waitForTimeout(700);
    await chat.page.evaluate(() => document.querySelector('.prompt')
      .dispatchEvent(new KeyboardEvent('keydown', { key: 'y', repeat: true, bubbles: true, cancelable: true })));
    assert.deepEqual(await calls(), []);
    await chat.page.keyboard.press('y');
    await chat.page.waitForFunction(() => window.calls.length === 1);
    assert.deepEqual(await calls(), [['a allow', 'msg-7']]);
  });

  test('the input goes back only where it was edited', async () => {
    await show([ONE]);
    await card().getByRole('button', { name: /^Allow/ }).click();
    await show([TWO]);
    await chat.button('Edit …').click();
    await chat.button('Allow with this input').click();
    const third = ['a', 'msg-11', 'Bash', { command: 'ls' }];
    await show([third]);
    await chat.button('Edit …').click();
    await chat.page.getByLabel('Input as JSON').fill('{"command":"ls -l"}');
    await chat.button('Allow with this input').click();
    assert.deepEqual(await calls(), [['a allow', 'msg-7'], ['a allow', 'msg-9'], ['a allow', 'msg-11', { command: 'ls -l' }]]);
  });

  test('a plan is shown as it will be read, gone ahead with in two ways, edited, or planned further with words', async () => {
    const plan = '# The plan\n\n1. one\n2. two\n';
    await show([['a', 'msg-1', 'ExitPlanMode', { plan }]]);
    await card().getByRole('heading', { name: 'The plan' }).waitFor();
    assert.equal(await card().locator('ol li').count(), 2);
    await chat.button('Go ahead, accept edits').click();
    await show([['a', 'msg-2', 'ExitPlanMode', { plan, other: 1 }]]);
    await chat.button('Edit the plan …').click();
    await chat.page.getByLabel('The plan').fill('# Another');
    await chat.button('Go ahead with this plan').click();
    await show([['a', 'msg-3', 'ExitPlanMode', { plan }]]);
    await card().getByRole('button', { name: /^Keep planning …/ }).click();
    await chat.page.getByLabel('Reason').fill('Without step 2');
    await chat.button('Keep planning').click();
    await show([['a', 'msg-4', 'ExitPlanMode', { plan }]]);
    await card().getByRole('button', { name: /^Go ahead( Y)?$/ }).click();
    const edits = { updatedPermissions: [{ type: 'setMode', mode: 'acceptEdits', destination: 'session' }] };
    assert.deepEqual(await calls(), [
      ['a respond', 'msg-1', 'allow', edits], ['a allow', 'msg-2', { plan: '# Another', other: 1 }],
      ['a respond', 'msg-3', 'deny', { explanation: 'Without step 2' }], ['a allow', 'msg-4'],
    ]);
  });

  test('always promises no more than the gateway keeps: a plan is asked about every time', async () => {
    await show([['a', 'msg-7', 'ExitPlanMode', { plan: 'p' }]]);
    assert.equal(await chat.button('Always …').count(), 0);
    await show([TWO]);
    await chat.button('Always …').click();
    await card().getByText('This very call of Bash again').waitFor();
  });

  test('goes to the session that asked: ids are unique in their session only', async () => {
    await show([ONE]);
    await show([['b', 'msg-7', 'Bash', { command: 'rm' }]]);
    assert.equal(await card().locator('.command').innerText(), 'rm');
    await card().getByRole('button', { name: /^Allow/ }).click();
    assert.deepEqual(await calls(), [['b allow', 'msg-7']]);
    // The same session, opened again: nothing of what was shown before stays.
    await show([['b', 'msg-7', 'Bash', { command: 'rm' }]], true);
    await card().getByRole('button', { name: /^Allow/ }).click();
    assert.equal((await calls()).length, 2);
  });
});
