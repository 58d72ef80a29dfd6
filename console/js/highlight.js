// Colours code. The highlighter (highlight.js) and each language's grammar come when they are first needed; what it finds
// becomes nodes here, never HTML.

import { GRAMMARS } from './grammars.js';

const NAMES = new Map(Object.entries(GRAMMARS).flatMap(([grammar, names]) => names.split(' ').map((name) => [name, grammar])));
/** Longer texts stay plain: colouring one takes time in which the page does nothing else. */
const LONGEST = 60_000;

/** Languages that stand within others. */
const INNER = { xml: ['javascript', 'css'], markdown: ['xml'], php: ['xml'] };

let core;
const loaded = new Map();

/** The grammar for a name or a file's ending; `undefined` where there is none. */
export function grammarOf(name = '') {
  return NAMES.get(name.toLowerCase());
}

/** Builds nodes where highlight.js would build HTML. */
class Nodes {
  root = document.createDocumentFragment();
  #open = [this.root];

  addText(text) {
    if (text !== '') this.#open.at(-1).append(text);
  }

  startScope(scope) {
    const span = document.createElement('span');
    // `title.class.inherited`: the first word says enough.
    span.className = `hl-${String(scope).replace(/^language:.*/, 'language').split('.')[0]}`;
    this.#open.at(-1).append(span);
    this.#open.push(span);
  }

  endScope() {
    if (this.#open.length > 1) this.#open.pop();
  }

  __addSublanguage({ root }) {
    this.startScope('language:');
    this.#open.at(-1).append(root);
    this.endScope();
  }

  openNode(scope) { this.startScope(scope); }
  closeNode() { this.endScope(); }
  closeAllNodes() {}
  finalize() {}
  toHTML() { return ''; }
}

/** Loads what colours `grammar`, once. */
function load(grammar) {
  core ??= import('../vendor/highlight/core.js').then(({ default: hljs }) => {
    hljs.configure({ __emitter: Nodes });
    return hljs;
  });
  if (!loaded.has(grammar)) {
    loaded.set(grammar, undefined);
    const language = import(`../vendor/highlight/languages/${grammar}.js`);
    const inner = (INNER[grammar] ?? []).map(load);
    loaded.set(grammar, Promise.all([core, language, ...inner]).then(([hljs, { default: definition }]) => {
      hljs.registerLanguage(grammar, definition);
      loaded.set(grammar, hljs);
    }));
  }
  return loaded.get(grammar);
}

/**
 * Shows `text` in `element`, coloured if its language is known; at first plain where the grammar is still to come. `then` is called when
 * the element was filled later.
 */
export function highlight(element, text, name, then) {
  element.textContent = text;
  const grammar = grammarOf(name);
  if (!grammar || text.length > LONGEST) return;
  const ready = load(grammar);
  if (ready instanceof Promise) {
    ready.then(() => {
      // By then it may show something else.
      if (element.textContent === text && colour(element, text, grammar)) then?.();
    }, () => {}); // It stays plain.
  } else colour(element, text, grammar);
}

function colour(element, text, grammar) {
  const { _emitter: found, illegal } = loaded.get(grammar).highlight(text, { language: grammar, ignoreIllegals: true });
  // Nothing of the text may be lost or added by colouring it.
  if (illegal || found?.root?.textContent !== text) return false;
  element.replaceChildren(found.root);
  return true;
}
