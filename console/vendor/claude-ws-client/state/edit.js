// Small changes of a conversation, each a new object that shares what did not change.
export function notice(state, level, code, message, source) {
    const id = `${source.id}:${source.seq ?? 'reply'}:${state.entries.length}`;
    return { ...state, entries: [...state.entries, { kind: 'notice', id, level, code, message, timestamp: source.timestamp }] };
}
export function updateTool(state, id, change) {
    return { ...state, tools: { ...state.tools, [id]: change(state.tools[id] ?? emptyTool(id)) } };
}
export function updateUser(state, id, change) {
    const at = state.entries.findIndex((entry) => entry.kind === 'user' && entry.id === id);
    if (at < 0)
        return state;
    const entries = state.entries.slice();
    entries[at] = { ...entries[at], ...change };
    return { ...state, entries };
}
/** Changes the entries at the top, or those of the subagent that `parent` started. */
export function withEntries(state, parent, change) {
    if (parent === undefined) {
        const entries = change(state.entries);
        return entries === state.entries ? state : { ...state, entries };
    }
    return updateTool(state, parent, (tool) => ({ ...tool, entries: change(tool.entries) }));
}
export function emptyMessage(id, timestamp) {
    return {
        kind: 'assistant', id, model: undefined, parts: [], streaming: true, stopReason: undefined, usage: undefined, timestamp,
    };
}
/** Changes the message `id`; makes it where a gap swallowed its start. */
export function updateAssistant(entries, id, change, timestamp) {
    for (let at = entries.length - 1; at >= 0; at -= 1) {
        const entry = entries[at];
        if (entry.kind !== 'assistant' || entry.id !== id)
            continue;
        const changed = change(entry);
        if (changed === entry)
            return entries;
        const copy = entries.slice();
        copy[at] = changed;
        return copy;
    }
    return [...entries, change(emptyMessage(id, timestamp))];
}
export function withTool(parts, toolUseId) {
    return parts.some((part) => part.kind === 'tool' && part.toolUseId === toolUseId)
        ? parts
        : [...parts, { kind: 'tool', toolUseId }];
}
/** Ids of calls repeat: the call that has come to its end under this one makes way for another, and keeps its place under a new key. */
export function withoutOld(state, id) {
    const old = state.tools[id];
    if (old === undefined || old.status === 'streaming' || old.status === 'running' || old.status === 'waiting')
        return state;
    let number = 1;
    while (state.tools[`${id}#${number}`] !== undefined)
        number += 1;
    const key = `${id}#${number}`;
    const moved = (entries) => {
        const holds = (entry) => entry.kind === 'assistant' && entry.parts.some((part) => part.kind === 'tool' && part.toolUseId === id);
        if (!entries.some(holds))
            return entries;
        return entries.map((entry) => (entry.kind === 'assistant' && holds(entry)
            ? { ...entry, parts: entry.parts.map((part) => (part.kind === 'tool' && part.toolUseId === id ? { ...part, toolUseId: key } : part)) }
            : entry));
    };
    const tools = Object.fromEntries(Object.entries(state.tools).flatMap(([name, tool]) => {
        if (name === id)
            return [[key, { ...old, id: key }]];
        const entries = moved(tool.entries);
        const parent = tool.parent === id ? key : tool.parent;
        return [[name, entries === tool.entries && parent === tool.parent ? tool : { ...tool, entries, parent }]];
    }));
    return { ...state, tools, entries: moved(state.entries) };
}
export function emptyTool(id) {
    return {
        id, name: '', executor: 'agent', status: 'streaming', input: undefined, partialInput: '', result: undefined,
        permission: undefined, parent: undefined, taskId: undefined, entries: [], startedAt: undefined, endedAt: undefined,
    };
}
