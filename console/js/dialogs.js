import { h } from './dom.js';

const CWD = 'claude-ws.cwd';

function field(label, input, hint) {
  const id = `field-${label.toLowerCase().replace(/\W+/g, '-')}`;
  input.id = id;
  return h('div', { class: 'field' }, h('label', { for: id }, label), input, hint ? h('p', { class: 'hint' }, hint) : undefined);
}

/** Options of a new session. */
export class NewSessionDialog {
  #app;
  #form;
  #problem = h('p', { class: 'problem', role: 'alert' });

  #started;

  /** `started` is called when a session was started and the dialog is closed. */
  constructor(app, started) {
    this.#app = app;
    this.#started = started;
    this.#form = h('form', { method: 'dialog', onsubmit: (event) => this.#submit(event) },
      h('h2', {}, 'New session'),
      field('Name', h('input', { name: 'title', maxlength: 80, placeholder: 'Optional', autocomplete: 'off' })),
      field('Working directory', h('input', { name: 'cwd', placeholder: "The gateway's workspace", autocomplete: 'off', spellcheck: 'false' })),
      h('div', { class: 'field-row' },
        field('Permissions', h('select', { name: 'permission_mode' },
          h('option', { value: 'manual' }, 'Ask first'), h('option', { value: 'auto' }, 'Accept edits'),
          h('option', { value: 'plan' }, 'Plan only'))),
        field('Model', h('input', { name: 'model', placeholder: 'Default', autocomplete: 'off', list: 'models' }))),
      h('datalist', { id: 'models' }, ['sonnet', 'opus', 'haiku'].map((value) => h('option', { value }))),
      h('details', {},
        h('summary', {}, 'More'),
        field('Instructions', h('textarea', { name: 'append_system_prompt', rows: 3, placeholder: 'Added to the system prompt' })),
        field('Session id', h('input', { name: 'sessionId', placeholder: 'Made up', autocomplete: 'off', pattern: '[A-Za-z0-9._:\\-]{1,128}' }),
          'The id of a session that exists attaches to it.')),
      this.#problem,
      h('div', { class: 'buttons' },
        h('button', { type: 'button', class: 'quiet', onclick: () => this.node.close() }, 'Cancel'),
        h('button', { type: 'submit', class: 'primary' }, 'Start')));
    this.node = h('dialog', { class: 'dialog', 'aria-label': 'New session' }, this.#form);
  }

  show() {
    this.#problem.textContent = '';
    this.#form.elements.cwd.value = localStorage.getItem(CWD) ?? '';
    this.node.showModal();
  }

  async #submit(event) {
    event.preventDefault();
    // A second click while the first is under way would start a second session.
    if (this.#form.inert) return;
    const given = Object.fromEntries([...new FormData(this.#form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value));
    const { title, ...options } = given;
    if (title) options.metadata = { title };
    this.#form.inert = true;
    try {
      await this.#app.start(options);
    } catch (error) {
      this.#problem.textContent = error.message;
      return;
    } finally {
      this.#form.inert = false;
    }
    localStorage.setItem(CWD, given.cwd ?? '');
    this.#form.reset();
    this.node.close();
    this.#started();
  }
}

/** Asks for the token that the gateway wants. It stays in this tab's session storage. */
export class TokenDialog {
  constructor(app) {
    const input = h('input', { type: 'password', autocomplete: 'off', spellcheck: 'false', required: true });
    const form = h('form', {
      method: 'dialog',
      onsubmit: (event) => {
        event.preventDefault();
        app.useToken(input.value.trim());
      },
    },
    h('h2', {}, 'This gateway wants a token'),
    field('Token', input, app.token ? 'The one that this tab has was refused.' : 'It is kept in this tab only, until it is closed.'),
    h('div', { class: 'buttons' }, h('button', { type: 'submit', class: 'primary' }, 'Connect')));
    this.node = h('dialog', { class: 'dialog', 'aria-label': 'Token', oncancel: (event) => event.preventDefault() }, form);
  }

  show() {
    if (!this.node.open) this.node.showModal();
  }
}

/** Shows a dialog once; settles with what the button that closed it says. */
function ask(label, content, buttons) {
  return new Promise((resolve) => {
    const dialog = h('dialog', { class: 'dialog', 'aria-label': label, onclose: () => { dialog.remove(); resolve(dialog.returnValue); } },
      h('form', { method: 'dialog' }, h('h2', {}, label), content, h('div', { class: 'buttons' }, buttons)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

export async function confirmEnd() {
  const answer = await ask('End this session?', h('p', {}, 'Its agent is stopped, and nobody can go on with it.'), [
    h('button', { value: '', class: 'quiet' }, 'Keep it'), h('button', { value: 'end', class: 'danger' }, 'End session'),
  ]);
  return answer === 'end';
}

export async function askModel() {
  const input = h('input', { autocomplete: 'off', spellcheck: 'false' });
  const answer = await ask('Which model?', field('Model name', input), [
    // Not a submit button: Enter takes the first one of those.
    h('button', { type: 'button', class: 'quiet', onclick: () => input.closest('dialog').close('') }, 'Cancel'),
    h('button', { value: 'ok', class: 'primary' }, 'Use it'),
  ]);
  return answer === 'ok' ? input.value.trim() : '';
}
