// A button that opens a list of things to do.

import { h, icon } from './dom.js';

/** Items are `{ label, action, danger? }`. Closes when one was chosen, on Escape, and on a click elsewhere. */
export class Menu {
  #list = h('div', { class: 'more-items' });

  constructor(label, items) {
    this.node = h('details', { class: 'more' }, h('summary', { class: 'icon-button', 'aria-label': label, title: label }, icon('more')), this.#list);
    this.node.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.node.open) return;
      event.preventDefault(); // It would stop the turn as well.
      this.#close();
    });
    document.addEventListener('pointerdown', (event) => !this.node.contains(event.target) && this.node.removeAttribute('open'));
    this.#list.append(...items.map(({ label: text, action, danger }) => h('button', {
      type: 'button', class: danger ? 'bad' : undefined,
      onclick: () => {
        this.#close();
        action();
      },
    }, text)));
  }

  #close() {
    this.node.open = false;
    this.node.firstChild.focus();
  }
}
