// What goes with a message: images, PDFs and text files, chosen, dropped or pasted.

import { h, icon } from './dom.js';

const IMAGES = /^image\/(png|jpeg|gif|webp)$/;
/** What the chooser offers; anything else that is text can be dropped or pasted. */
export const ACCEPT = 'image/png,image/jpeg,image/gif,image/webp,application/pdf,text/*,.md,.json,.csv,.log,.toml,.yaml,.yml';
/** Room in a message for what is not attached, bytes. */
const REST_BYTES = 64 << 10;

export class Attachments {
  /** Each `{ block, bytes }`: a content block, and what it takes of a message. */
  #held = [];
  #app;
  #changed;
  node = h('div', { class: 'previews' });

  constructor(app, changed) {
    this.#app = app;
    this.#changed = changed;
  }

  get isEmpty() {
    return this.#held.length === 0;
  }

  /** Takes the content blocks, in order; nothing is attached any more. */
  take() {
    const blocks = this.#held.map(({ block }) => block);
    this.#held = [];
    this.node.replaceChildren();
    return blocks;
  }

  async add(files) {
    for (const file of files) {
      try {
        const item = await read(file);
        const used = this.#held.reduce((sum, { bytes }) => sum + bytes, 0);
        const room = (this.#app.state?.info?.server.max_message_bytes ?? 8 << 20) - REST_BYTES - used;
        if (item.bytes > room) throw new Error(`${file.name || 'It'} is too large for this message (${Math.max(0, Math.floor(room * 0.75 / 1024))} KiB are left)`);
        this.#hold(item, file.name || 'pasted');
      } catch (error) {
        this.#app.report(error);
      }
    }
    this.#changed();
  }

  #hold(item, name) {
    this.#held.push(item);
    const preview = h('button', {
      type: 'button', class: 'preview', 'aria-label': `Remove ${name}`, title: `Remove ${name}`,
      onclick: () => {
        this.#held = this.#held.filter((other) => other !== item);
        preview.remove();
        this.#changed();
      },
    }, item.url ? h('img', { src: item.url, alt: name }) : h('span', { class: 'preview-file' }, icon('file'), name), icon('close'));
    this.node.append(preview);
  }
}

async function read(file) {
  const isImage = IMAGES.test(file.type);
  if (isImage || file.type === 'application/pdf') {
    const url = await dataUrl(file);
    const source = { type: 'base64', media_type: file.type, data: url.slice(url.indexOf(',') + 1) };
    const block = isImage ? { type: 'image', source } : { type: 'document', title: file.name, source };
    return { block, bytes: source.data.length, url: isImage ? url : undefined };
  }
  let data;
  try {
    data = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    data = '\0';
  }
  if (data.includes('\0')) throw new Error(`${file.name} is neither an image (PNG, JPEG, GIF, WebP), a PDF, nor text`);
  const block = { type: 'document', title: file.name, source: { type: 'text', media_type: 'text/plain', data } };
  return { block, bytes: new TextEncoder().encode(JSON.stringify(data)).length };
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** Files that are dragged over `area` may be dropped anywhere on it. */
export function acceptDrops(area, take) {
  let depth = 0;
  const over = (on) => area.classList.toggle('dropping', on);
  const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes('Files');
  area.addEventListener('dragenter', (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    over(true);
  });
  area.addEventListener('dragleave', (event) => {
    if (!hasFiles(event)) return;
    depth = Math.max(0, depth - 1);
    if (depth === 0) over(false);
  });
  area.addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault());
  area.addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    over(false);
    take(event.dataTransfer.files);
  });
}
