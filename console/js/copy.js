// A button that copies a text.

import { h, icon } from './dom.js';

/** `text` is a function: what is copied is what stands there when the button is pressed. */
export function copyButton(label, text) {
  const button = h('button', { type: 'button', class: 'copy', 'aria-label': label, title: label }, icon('copy'));
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      return; // Not on a secure origin.
    }
    button.replaceChildren(icon('check'));
    setTimeout(() => button.replaceChildren(icon('copy')), 1500);
  });
  return button;
}
