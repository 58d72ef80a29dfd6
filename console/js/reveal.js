// Makes characters visible that show nothing or turn the text around: with them, what is read is not what is run.

// What Unicode says may be left undrawn (zero-width, bidi controls, fillers, tags), control characters but tab and line
// feed, line separators, lone surrogates. Not: the joiners inside an emoji.
const UNSEEN = new RegExp(
  String.raw`(?!(?<=\p{Extended_Pictographic})\uFE0F|(?<=\p{Extended_Pictographic}\uFE0F?)\u200D(?=\p{Extended_Pictographic}))`
  + String.raw`[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\p{Cc}\p{Cs}\u2028\u2029](?<![\t\n])`, 'gu');

const codeOf = (char) => char.codePointAt(0).toString(16).toUpperCase().padStart(4, '0');

/** The text with each such character written as `⟨U+202E⟩`. */
export function visible(text) {
  return text.replace(UNSEEN, (char) => `⟨U+${codeOf(char)}⟩`);
}

/** JSON that means the same, with each such character escaped. */
export function visibleJson(json) {
  return json.replace(UNSEEN, (char) => [...Array(char.length).keys()]
    .map((at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''));
}

/** Marks such characters in all text of `root`. */
export function reveal(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) if (walker.currentNode.data.search(UNSEEN) >= 0) found.push(walker.currentNode);
  for (const text of found) text.replaceWith(...marked(text.data));
  return root;
}

function marked(text) {
  const parts = [];
  let at = 0;
  for (const { 0: char, index } of text.matchAll(UNSEEN)) {
    const mark = document.createElement('mark');
    mark.className = 'unseen';
    mark.title = 'A character that is not shown, or that turns the text around';
    mark.textContent = visible(char);
    parts.push(text.slice(at, index), mark);
    at = index + char.length;
  }
  return [...parts, text.slice(at)];
}
