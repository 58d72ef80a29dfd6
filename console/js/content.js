// Content blocks of messages and tool results.

import { h } from './dom.js';

/** Text and images of a user message. */
export function contentNodes(content) {
  if (typeof content === 'string') return [content];
  return content.flatMap((block) => {
    if (block.type === 'text') return [h('span', {}, String(block.text))];
    const image = imageNode(block);
    return [image ?? h('span', { class: 'block-kind' }, block.type === 'document' ? fileName(block) : block.type)];
  });
}

function fileName({ title, source }) {
  return typeof title === 'string' && title !== '' ? title : source?.media_type ?? 'document';
}

/** An image block as a picture; other forms and kinds are not shown. */
export function imageNode(block) {
  const source = block?.type === 'image' ? block.source : undefined;
  if (source?.type !== 'base64' || !/^image\/(png|jpeg|gif|webp)$/.test(source.media_type)) return undefined;
  return h('img', { class: 'picture', src: `data:${source.media_type};base64,${source.data}`, alt: 'Image' });
}
