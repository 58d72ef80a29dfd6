// Markdown to nodes. Two walls against what a model may be talked into writing: HTML in the source is shown as text, and
// what marked makes goes through DOMPurify. Nothing is loaded from elsewhere: an image becomes a link.

import DOMPurify from '../vendor/dompurify/purify.js';
import { Marked } from '../vendor/marked/marked.js';
import { copyButton } from './copy.js';
import { h } from './dom.js';
import { highlight } from './highlight.js';

const SAFE_LINK = /^(?:https?:|mailto:)/i;

const escape = (text) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escape(text),
    image: ({ href, text }) => (SAFE_LINK.test(href) ? `<a href="${escape(href)}">${escape(text || href)}</a>` : escape(text)),
    link({ href, tokens, raw }) {
      return SAFE_LINK.test(href) ? `<a href="${escape(href)}">${this.parser.parseInline(tokens)}</a>` : escape(raw);
    },
    checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
  },
});

const purify = DOMPurify(window);
purify.addHook('afterSanitizeAttributes', (node) => {
  if (node.nodeName !== 'A') return;
  node.setAttribute('target', '_blank');
  node.setAttribute('rel', 'noopener noreferrer nofollow');
});
const RULES = {
  ALLOWED_TAGS: [
    'a', 'blockquote', 'br', 'code', 'del', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p', 'pre', 'strong',
    'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
  ],
  ALLOWED_ATTR: ['href', 'start', 'align'],
  ALLOWED_URI_REGEXP: SAFE_LINK,
  // The pattern would be asked about every attribute: neither of these is an address.
  ADD_URI_SAFE_ATTR: ['start', 'align'],
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

/** Shows Markdown that grows: `update(text)` redraws only the blocks that changed, so that a selection survives streaming. */
export class Markdown {
  node = h('div', { class: 'prose' });
  #text = '';
  #blocks = [];
  #drawnAt = -Infinity;
  #took = 0;
  #timer;

  update(text) {
    if (text === this.#text) return;
    this.#text = text;
    if (this.#timer !== undefined) return;
    // A long text takes long to draw: then it is drawn less often, so that the page stays quick.
    const wait = this.#drawnAt + this.#took * 4 - performance.now();
    if (wait <= 0) this.#draw();
    else {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#draw();
      }, wait);
    }
  }

  #draw() {
    const begun = performance.now();
    const tokens = marked.lexer(this.#text).filter(({ type }) => type !== 'space' && type !== 'def');
    tokens.forEach((token, at) => {
      const old = this.#blocks[at];
      if (old?.raw === token.raw && old.type === token.type) return;
      const node = block(token);
      if (old) old.node.replaceWith(node);
      else this.node.append(node);
      this.#blocks[at] = { raw: token.raw, type: token.type, node };
    });
    for (const { node } of this.#blocks.splice(tokens.length)) node.remove();
    this.#drawnAt = performance.now();
    this.#took = this.#drawnAt - begun;
  }
}

/** One top-level block as one element. */
function block(token) {
  if (token.type === 'code') return codeBlock(token.text, token.lang);
  const holder = h('div', { class: 'block' });
  holder.append(purify.sanitize(marked.parser([token]), RULES));
  for (const table of holder.querySelectorAll('table')) {
    // A wide table scrolls by itself instead of widening the page.
    const frame = h('div', { class: 'table-frame', tabindex: '0' });
    table.replaceWith(frame);
    frame.append(table);
  }
  return holder;
}

const WRAP = 'claude-ws.wrap';
/** Whether long lines of code are wrapped, everywhere on the page. */
function wrapAll(on) {
  document.documentElement.toggleAttribute('data-wrap', on);
}
wrapAll(localStorage.getItem(WRAP) === 'on');

/** Code with its language, coloured, and ways to wrap and to copy it. */
export function codeBlock(text, language = '') {
  const [name] = language.split(/\s/);
  const code = h('code', {});
  highlight(code, text, name);
  const wrap = h('button', {
    type: 'button', class: 'wrap', title: 'Wrap long lines, here and elsewhere',
    onclick: () => {
      const on = !document.documentElement.hasAttribute('data-wrap');
      wrapAll(on);
      localStorage.setItem(WRAP, on ? 'on' : 'off');
    },
  }, 'Wrap');
  return h('div', { class: 'code' },
    h('div', { class: 'code-head' }, h('span', {}, name || 'text'), wrap, copyButton('Copy code', () => text)),
    h('pre', { tabindex: '0' }, code));
}
