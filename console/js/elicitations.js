// What MCP servers ask people: forms to fill in, and pages to visit.

import { formOf } from '../vendor/claude-ws-client/index.js';
import { h, icon } from './dom.js';
import { reveal, visible } from './reveal.js';

export class ElicitationCard {
  constructor({ request }, { app, session, answering }) {
    const respond = (action, content) => answering(this.node, app, () => session.respondElicitation(request.id, action, content));
    const fields = request.mode === 'form' ? formOf(request).map((field, at) => new Field(field, `${request.id}-${at}`)) : [];
    const page = request.mode === 'url' ? pageOf(request.url) : undefined;
    const accept = h('button', { type: 'submit', class: 'primary', disabled: request.mode === 'url' && !page?.href },
      request.mode === 'url' ? 'Open the page' : 'Send');
    this.node = h('form', {
      class: 'prompt question elicitation', tabindex: '-1', 'aria-label': visible(`${request.server} asks`),
      onsubmit: (event) => {
        event.preventDefault();
        // Within the click, or the browser takes it for an advertisement.
        if (page?.href) window.open(page.href, '_blank', 'noopener,noreferrer');
        const filled = fields.map((field) => [field.name, field.value]).filter(([, value]) => value !== undefined);
        respond('accept', request.mode === 'form' ? Object.fromEntries(filled) : undefined);
      },
    },
    h('header', {}, icon('ask'), h('h2', {}, request.title ?? `${request.server} asks`),
      request.title ? h('span', { class: 'tag' }, request.server) : undefined),
    h('p', { class: 'why' }, request.message),
    page?.node,
    fields.map(({ node }) => node),
    h('div', { class: 'buttons' }, accept,
      h('button', { type: 'button', onclick: () => respond('decline') }, 'Decline'),
      h('button', { type: 'button', onclick: () => respond('cancel') }, 'Cancel')));
    reveal(this.node);
  }

  update() {}
}

/** The page as it is, whole; only what a browser opens without running it in this page's name can be opened. */
function pageOf(url) {
  let href;
  try {
    const parsed = new URL(url);
    if (parsed.protocol === 'https:' || parsed.protocol === 'http:') href = parsed.href;
  } catch {
    href = undefined;
  }
  const shown = h('code', {}, url);
  const node = href ? h('p', {}, h('a', { href, target: '_blank', rel: 'noopener noreferrer' }, shown))
    : h('p', {}, shown, ' – this address cannot be opened from here');
  return { href, node };
}

const TYPES = { email: 'email', uri: 'url', date: 'date', 'date-time': 'datetime-local' };

/** One property of a form. */
class Field {
  #read;

  constructor(field, id) {
    this.name = field.name;
    const { kind, title, description, required } = field;
    const label = h('span', {}, h('strong', {}, title), required ? ' *' : '', description ? h('small', {}, description) : undefined);
    if (kind === 'choices') {
      const chosen = Array.isArray(field.default) ? field.default : [];
      const boxes = field.options.map(({ value }) => h('input', { type: 'checkbox', name: id, value, checked: chosen.includes(value) }));
      this.#read = () => {
        const values = boxes.filter(({ checked }) => checked).map(({ value }) => value);
        return values.length > 0 || required ? values : undefined;
      };
      this.node = h('fieldset', {}, h('legend', {}, label),
        field.options.map((option, at) => h('label', { class: 'option' }, boxes[at], h('span', {}, option.label))));
      return;
    }
    const input = inputOf(field, id);
    this.#read = () => {
      if (kind === 'boolean') return input.checked;
      if (input.value === '') return undefined;
      if (kind === 'number' || kind === 'integer') return Number(input.value);
      return field.format === 'date-time' ? new Date(input.value).toISOString() : input.value;
    };
    this.node = h('label', { class: kind === 'boolean' ? 'option' : 'field' }, kind === 'boolean' ? [input, label] : [label, input]);
  }

  /** What is filled in; `undefined`: nothing. */
  get value() {
    return this.#read();
  }
}

function inputOf({ kind, format, minimum, maximum, options, required, default: preset }, id) {
  switch (kind) {
    case 'boolean':
      return h('input', { type: 'checkbox', name: id, checked: preset === true });
    case 'number':
    case 'integer':
      return h('input', {
        type: 'number', name: id, required, step: kind === 'integer' ? '1' : 'any', value: preset ?? '',
        ...(minimum === undefined ? {} : { min: minimum }), ...(maximum === undefined ? {} : { max: maximum }),
      });
    case 'choice':
      return h('select', { name: id, required },
        preset === undefined ? h('option', { value: '' }, '') : undefined,
        options.map(({ value, label }) => h('option', { value, selected: value === preset }, label)));
    default:
      return h('input', {
        type: TYPES[format] ?? 'text', name: id, required, value: preset ?? '',
        ...(minimum === undefined ? {} : { minlength: minimum }), ...(maximum === undefined ? {} : { maxlength: maximum }),
      });
  }
}
