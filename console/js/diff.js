// What changed between two texts: lines, and within changed lines the words. Small texts only; longer ones are shown as removed and added.

import { h } from './dom.js';

/** Unchanged lines that are shown around a change. */
const CONTEXT = 3;
/** Comparisons at most (lines of one times lines of the other); beyond, nothing is looked for that both have. */
const MOST = 400_000;

/** How one list becomes the other, as pairs `[kind, item]`, kind one of ' ', '-', '+'. */
function changes(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const [old, now] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];
  const same = (items) => items.map((item) => [' ', item]);
  return [...same(before.slice(0, start)), ...between(old, now), ...same(end > 0 ? before.slice(-end) : [])];
}

function between(old, now) {
  if (old.length * now.length > MOST) return [...old.map((item) => ['-', item]), ...now.map((item) => ['+', item])];
  const width = now.length + 1;
  // longest[i][j]: of what follows old[i] and now[j].
  const longest = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] = old[i] === now[j]
        ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      found.push([' ', old[i]]);
      i += 1;
      j += 1;
    } else if (j >= now.length || (i < old.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
      found.push(['-', old[i]]);
      i += 1;
    } else {
      found.push(['+', now[j]]);
      j += 1;
    }
  }
  return found;
}

const words = (line) => line.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];

/** The two sides of a changed line, with what differs marked; `undefined` where they have little in common. */
function marked(before, after) {
  const found = changes(words(before), words(after));
  const common = found.reduce((sum, [kind, word]) => sum + (kind === ' ' ? word.trim().length : 0), 0);
  if (common * 3 < Math.max(before.trim().length, after.trim().length)) return undefined;
  const side = (sign) => found.filter(([kind]) => kind === ' ' || kind === sign)
    .map(([kind, word]) => (kind === ' ' ? word : h('mark', {}, word)));
  return [side('-'), side('+')];
}

/** Rows `{ kind, text }` and `{ skipped }`; with `all` also what is far from any change. */
function rows(before, after, all) {
  const found = changes(before.split('\n'), after.split('\n'));
  const near = found.map((_, at) => all || found.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(([kind]) => kind !== ' '));
  const list = [];
  for (const [at, [kind, text]] of found.entries()) {
    if (near[at]) list.push({ kind, text });
    else if (list.at(-1)?.skipped) list.at(-1).skipped += 1;
    else list.push({ skipped: 1 });
  }
  return list;
}

/** Rows of a patch, with the numbers that the lines have in the file. */
function patchRows(patch) {
  return patch.flatMap(({ old_start: oldStart, new_start: newStart, lines }, hunk) => {
    let [old, now] = [oldStart, newStart];
    const before = hunk === 0 ? [] : [{ skipped: oldStart - patch[hunk - 1].old_start - patch[hunk - 1].old_lines }];
    return [...before, ...lines.filter((line) => line[0] in KINDS).map((line) => {
      const kind = line[0];
      return { kind, text: line.slice(1), old: kind === '+' ? '' : old++, now: kind === '-' ? '' : now++ };
    })];
  });
}

const KINDS = { ' ': 'same', '-': 'removed', '+': 'added' };
const SIGNS = { ' ': ' ', '-': '−', '+': '+' };

/** A diff of two texts as nodes; `all`: with every line of them. */
export function diffNode(before, after, all = false) {
  return drawn(rows(before, after, all));
}

/** A patch as nodes, with line numbers. */
export function patchNode(patch) {
  return drawn(patchRows(patch));
}

function drawn(list) {
  pairUp(list);
  const digits = Math.max(...list.map(({ old = '', now = '' }) => Math.max(String(old).length, String(now).length)), 0);
  const number = (value) => (digits === 0 ? '' : h('span', { class: 'line-number', 'aria-hidden': 'true' }, `${String(value).padStart(digits)} `));
  return h('pre', { class: 'source diff', tabindex: '0' }, list.map((row) => (row.kind === undefined
    ? h('span', { class: 'skipped' }, `⋯ ${row.skipped} ${row.skipped === 1 ? 'line' : 'lines'} as before\n`)
    : h('span', { class: KINDS[row.kind] }, number(row.old), number(row.now), `${SIGNS[row.kind]} `, row.parts ?? row.text, '\n'))));
}

/** Marks words where as many lines were added as removed, one for one. */
function pairUp(list) {
  for (let at = 0; at < list.length; at += 1) {
    let removed = 0;
    while (list[at + removed]?.kind === '-') removed += 1;
    let added = 0;
    while (list[at + removed + added]?.kind === '+') added += 1;
    if (removed > 0 && removed === added) {
      for (let pair = 0; pair < removed; pair += 1) {
        const [old, now] = [list[at + pair], list[at + removed + pair]];
        [old.parts, now.parts] = marked(old.text, now.text) ?? [];
      }
    }
    at += Math.max(0, removed + added - 1);
  }
}
