// The conversation: entries of the reducer's state, each with a view that changes as little as it can.

import { contentNodes } from './content.js';
import { copyButton } from './copy.js';
import { duration, h, icon, List, money, setText } from './dom.js';
import { Markdown } from './markdown.js';
import { ToolCard } from './tool.js';

/** In these the agent is at work and shows nothing of it yet. */
const BUSY = new Set(['thinking', 'starting', 'compacting']);

/** How near to the end counts as being there, pixels. */
const NEAR = 80;

export class Timeline {
  #app;
  #entries = h('div', { class: 'entries' });
  #list;
  #busy = h('div', { class: 'busy', hidden: true }, h('span'), h('span'), h('span'));
  #jump;
  #follows = true;
  #top = 0;
  #tools = { now: {}, tasks: {}, changed: true, entryList };

  constructor(app) {
    this.#app = app;
    this.#list = entryList(this.#entries, this.#tools);
    this.empty = h('p', { class: 'entries-empty' }, 'Say what you need. Claude asks before it changes anything.');
    this.#jump = h('button', { type: 'button', class: 'jump', hidden: true, onclick: () => this.#toEnd() }, icon('down'), 'Latest');
    this.scroller = h('div', { class: 'scroller', tabindex: '0', role: 'log', 'aria-label': 'Conversation', 'aria-live': 'off' },
      h('div', { class: 'column' }, this.empty, this.#entries, this.#busy));
    this.scroller.addEventListener('scroll', () => {
      const { scrollTop } = this.scroller;
      // Only going up means that the reader wants to stay: below, the text may just have grown faster than this event came.
      if (this.#atEnd()) this.#follows = true;
      else if (scrollTop < this.#top) this.#follows = false;
      this.#top = scrollTop;
      this.#jump.hidden = this.#follows;
    }, { passive: true });
    this.node = h('div', { class: 'timeline' }, this.scroller, this.#jump);
    // The prompts below may take or give back room, and long texts are drawn when there is time.
    const observer = new ResizeObserver(() => this.#follows && this.#toEnd());
    observer.observe(this.scroller);
    observer.observe(this.#entries);
  }

  update(state, isOther) {
    if (isOther) {
      this.#list.update([]);
      this.#follows = true;
    }
    if (!state) return;
    // A tool's card changes without the entry around it: every entry that holds one is looked at when any tool changed.
    const toolsChanged = this.#tools.now !== state.tools || this.#tools.tasks !== state.tasks;
    this.#tools.now = state.tools;
    this.#tools.tasks = state.tasks;
    this.#tools.changed = toolsChanged;
    this.#list.update(state.entries);
    this.empty.hidden = state.entries.length > 0 || state.waiting.length > 0;
    const last = state.entries.at(-1);
    const streams = last?.kind === 'assistant' && last.streaming && last.parts.length > 0;
    this.#busy.hidden = !BUSY.has(state.status) || streams || state.ended !== undefined;
    if (this.#follows) this.#toEnd();
  }

  #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  #toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#follows = true;
    this.#jump.hidden = true;
  }
}

/** A list of entries. `tools` has the tools by id in `now`, the tasks by id in `tasks`, and this function for what subagents say in them. */
function entryList(parent, tools) {
  return new List(parent, (entry) => `${entry.kind}:${entry.id}`, (entry) => {
    switch (entry.kind) {
      case 'user': return new UserView();
      case 'assistant': return new AssistantView(tools);
      case 'result': return new ResultView();
      case 'reset': return new ResetView();
      default: return new NoticeView();
    }
  });
}

/** The words of a user message. */
function textOf(content) {
  return typeof content === 'string' ? content : content.flatMap(({ text }) => (typeof text === 'string' ? [text] : [])).join('\n');
}

class UserView {
  #note = h('span', { class: 'note' });
  #bubble = h('div', { class: 'bubble' });
  #content;
  #copy = copyButton('Copy message', () => textOf(this.#content));
  node = h('article', { class: 'entry user', 'aria-label': 'You' }, this.#bubble, h('div', { class: 'under' }, this.#note, this.#copy));

  update({ content, status, error }) {
    if (this.#content !== content) {
      this.#content = content;
      this.#bubble.replaceChildren(...contentNodes(content));
    }
    this.node.dataset.status = status;
    setText(this.#note, status === 'refused' ? `Not sent: ${error}` : status === 'cancelled' ? 'Cancelled' : '');
    this.#note.hidden = this.#note.textContent === '';
  }
}

class AssistantView {
  #parts;
  #tools;
  #text = '';
  #body = h('div', { class: 'parts' });
  #copy = copyButton('Copy message', () => this.#text);
  node = h('article', { class: 'entry assistant', 'aria-label': 'Claude' }, this.#body, h('div', { class: 'under' }, this.#copy));

  constructor(tools) {
    this.#tools = tools;
    this.#parts = new List(this.#body, ({ key }) => key, ({ part }) => {
      if (part.kind === 'text') return new TextView();
      if (part.kind === 'thinking') return new ThinkingView();
      return new ToolCard(this.#tools);
    });
  }

  /** The cards inside change without this entry. */
  get live() {
    return this.#tools.changed;
  }

  update({ parts, streaming }) {
    this.node.classList.toggle('streaming', streaming);
    this.#text = parts.flatMap((part) => (part.kind === 'text' ? [part.text] : [])).join('\n\n');
    this.#copy.hidden = streaming || this.#text === '';
    this.#parts.update(parts.map((part, at) => ({
      key: part.kind === 'tool' ? part.toolUseId : `${part.kind}${at}`, part, open: streaming && at === parts.length - 1,
    })));
  }
}

class TextView {
  #markdown = new Markdown();
  node = this.#markdown.node;

  update({ part, open }) {
    this.#markdown.update(part.text);
    this.node.classList.toggle('typing', open);
  }
}

class ThinkingView {
  #label = h('span', {});
  #text = h('div', { class: 'thinking-text' });
  node = h('details', { class: 'thinking' }, h('summary', {}, icon('chevron'), this.#label), this.#text);

  update({ part, open }) {
    setText(this.#label, open ? 'Thinking …' : 'Thought about it');
    this.node.classList.toggle('live', open);
    setText(this.#text, part.text);
  }
}

const CAUSES = {
  max_turns: 'The turn took more steps than it may', max_budget: 'The budget is used up', api_error: "The model's API failed",
  agent_exited: 'The agent ended unexpectedly', agent_unavailable: 'No agent could be started', execution: 'The turn failed',
};

class ResultView {
  node = h('div', { class: 'entry result' });

  update({ result, costUsd, isSaid }) {
    const figures = [
      duration(result.duration_ms),
      result.num_turns > 1 ? `${result.num_turns} steps` : undefined,
      costUsd ? money(costUsd) : undefined,
    ].filter(Boolean).join(' · ');
    this.node.dataset.subtype = result.subtype;
    if (result.subtype === 'success') this.node.replaceChildren(h('span', {}, figures));
    else if (result.subtype === 'error') {
      this.node.replaceChildren(h('div', { class: 'failure' },
        h('strong', {}, CAUSES[result.error_code] ?? 'The turn failed'), result.error && !isSaid ? h('p', {}, result.error) : undefined,
        h('span', {}, figures)));
    } else this.node.replaceChildren(h('span', {}, `Interrupted after ${figures}`));
  }
}

const RESETS = { clear: 'A new conversation', rewind: 'The conversation was taken back' };

/** The model knows nothing of what stands above. */
class ResetView {
  #text = h('span', {});
  node = h('div', { class: 'entry reset', role: 'note' }, this.#text);

  update({ reason }) {
    setText(this.#text, `${RESETS[reason] ?? RESETS.clear}: Claude knows nothing of what stands above`);
  }
}

class NoticeView {
  node = h('div', { class: 'entry notice', role: 'note' });

  update({ level, message, code }) {
    // The end of the turn says so, too.
    this.node.hidden = code === 'interrupted';
    this.node.dataset.level = level;
    setText(this.node, message);
  }
}
